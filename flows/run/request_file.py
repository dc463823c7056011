"""Training requests as files: settings, paths and digests, for processes that no run starts.

The inputs are in the storage: a URL, or a folder that all machines share at the same path.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sentiment.errors import StageError
from sentiment.files import read_json
from sentiment.settings import Settings
from tasks import train
from tasks.manifest import Artifact
from tasks.run.config import PipelineConfig
from tasks.stage import Request
from tasks.store import Store
from tasks.store.atomic import write_atomically


def write_request(request: Request, path: Path) -> None:
    """Write a training request to a file; StorageError if it cannot be written."""
    content = {
        "key": request.key,
        "label": request.label,
        "inputs": {
            name: asdict(value) if isinstance(value, Artifact) else [asdict(a) for a in value]
            for name, value in request.inputs.items()
        },
        "settings": {
            name: value.model_dump(mode="json") if isinstance(value, Settings) else value
            for name, value in request.settings.items()
        },
    }
    write_atomically(path, json.dumps(content, indent=1) + "\n")


def read_request(path: Path) -> Request:
    """Return the training request in a file.

    Raises StageError if there is none, or if it would give another result here: other code,
    libraries or settings.
    """
    try:
        content = read_json(path)
        key, request = content["key"], _request(content)
    except OSError as error:
        raise StageError(
            f"{path}: cannot be read ({error.strerror}). Of a run on another machine, share the "
            "storage folder at the same path."
        ) from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise StageError(f"{path}: not a training request of this version ({error}).") from error
    if request.key != key:
        raise StageError(
            f"{path}: asks for {key}, but this machine would compute {request.key}: its code or "
            "the version of torch differs. Use the same commit and the same versions on all "
            "machines, and restart a worker."
        )
    return request


def _request(content: Mapping[str, Any]) -> Request:
    sections = {n: v for n, v in content["settings"].items() if n in PipelineConfig.model_fields}
    config = PipelineConfig.model_validate(sections)
    settings = content["settings"] | {name: getattr(config, name) for name in sections}
    inputs = {
        name: Artifact(**value)
        if isinstance(value, dict)
        else tuple(Artifact(**artifact) for artifact in value)
        for name, value in content["inputs"].items()
    }
    return Request(train.STAGE, content["label"], inputs, settings)


def check_shared(request: Request, store: Store) -> None:
    """Fetch the files of a request from a URL; raise StageError if one is not on this machine."""
    store.bring(request.artifacts)
    for artifact in request.artifacts:
        path = artifact.local(store.root)
        if not path.is_file():
            raise StageError(
                f"{path} is not on this machine. Share the run's storage folder "
                "with it, at the same path."
            )
