"""Training requests as files: settings, paths and digests, for processes that no run starts.

The inputs are in the storage: remote, or a folder that all machines share at the same path.
"""

import json
from pathlib import Path

from sentiment.errors import StageError
from sentiment.files import read_json
from tasks import train
from tasks.run.portable import from_json, to_json
from tasks.stage import Request
from tasks.store.atomic import write_atomically


def write_request(request: Request, path: Path) -> None:
    """Write a training request to a file; StorageError if it cannot be written."""
    write_atomically(path, json.dumps(to_json(request), indent=1) + "\n")


def read_request(path: Path) -> Request:
    """Return the training request in a file.

    Raises StageError if there is none, or if it would give another result here: other code,
    libraries or settings.
    """
    try:
        content = read_json(path)
        if content["stage"] != train.STAGE.name:
            raise ValueError("of another stage")
        return from_json(content)
    except OSError as error:
        raise StageError(
            f"{path}: cannot be read ({error.strerror}). Copy the file to this machine, or write "
            "it with `sentiment plan ... --train-request FILE`."
        ) from error
    except StageError as error:
        raise StageError(f"{path}: {error}") from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise StageError(f"{path}: not a training job of this version ({error}).") from error
