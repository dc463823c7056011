"""Which model of a storage folder is in use: the champion, else the latest trained one."""

from pathlib import Path
from typing import Any

from sentiment.errors import ModelError, StorageError
from sentiment.files import read_json
from sentiment.model.bundle_files import SUMS, bundle_digest

CHAMPION = "models/champion.json"  # the champion and its predecessors; written atomically
CHAMPION_FORMAT = 1
TRAINED = "train"  # folder of the trained bundles, by their keys
LATEST = "models/latest"  # link to the bundle of the last run that trained or reused one


def model_in_use(storage: Path) -> Path:
    """Return the champion's bundle, or the latest model's if there is no champion.

    Raises ModelError if there is neither, or if the champion's bundle is gone or is another than
    the one that was promoted; StorageError if the champion file is damaged.
    """
    storage = storage.resolve()
    champions = read_champions(storage)
    if champions is None:
        latest = storage / LATEST
        if not latest.exists():
            raise ModelError(
                f"{storage}: no model here yet. Train one with `sentiment run`, or choose another "
                "storage folder, for example with SENTIMENT_STORAGE."
            )
        return latest
    try:
        champion = storage / str(champions["champion"]["model"])
        digest = champions["champion"]["digest"]
    except (TypeError, KeyError) as error:
        raise unreadable(storage / CHAMPION, error) from error
    try:
        found = bundle_digest(champion)
    except OSError:
        found = None
    if found != digest:
        raise ModelError(
            f"{champion}: the champion's bundle is {'not the one promoted' if found else 'gone'}. "
            "`sentiment models list` lists the models, `sentiment models promote` makes one the "
            "champion."
        )
    return champion


def model_folder(model: Path | None, storage: Path) -> Path:
    """Return the bundle to use: the one given, else :func:`model_in_use`.

    ``model`` is a bundle's folder, or the start of a model's key in the storage folder. Raises
    ModelError if it is neither, or the start of several keys.
    """
    if model is None:
        return model_in_use(storage)
    if model.exists() or len(model.parts) != 1:
        return model
    keys = sorted(path.parent.name for path in (storage / TRAINED).glob(f"*/{SUMS}"))
    found = [key for key in keys if key.startswith(model.name)]
    if len(found) == 1:
        return storage / TRAINED / found[0]
    known = ", ".join(found or keys) or "none yet"
    what = "the start of several keys" if found else "not a model bundle, and no model's key"
    raise ModelError(f"{model}: {what} in {storage / TRAINED}. Models there: {known}.")


def read_champions(storage: Path) -> dict[str, Any] | None:
    """Return the content of the champion file, or None if there has been no champion."""
    path = storage / CHAMPION
    try:
        content = read_json(path)
        if content["format"] != CHAMPION_FORMAT:
            raise ValueError(
                f"format {content['format']}, but this version reads {CHAMPION_FORMAT}"
            )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise unreadable(path, error) from error
    return dict(content)


def unreadable(path: Path, error: Exception) -> StorageError:
    """Return the error for a damaged champion file."""
    return StorageError(
        f"{path}: cannot be read ({error}). Restore a copy, or delete it: the next good run then "
        "promotes its model."
    )
