"""Which model of a storage folder is in use: the champion, else the latest trained one.

A storage folder may have several champions, each with a name: one for each product, for example.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sentiment.errors import ModelError, StorageError
from sentiment.files import parse_json
from sentiment.model.bundle_files import SUMS, bundle_digest

DEFAULT = "champion"  # the champion's name where none is given
CHAMPION = f"models/{DEFAULT}.json"  # it and its predecessors; written atomically
CHAMPION_FORMAT = 1
NAME = "^[a-z][a-z0-9_-]*$"  # of a champion
TRAINED = "train"  # folder of the trained bundles, by their keys
LATEST = "models/latest"  # link to the bundle of the last run that trained or reused one
OF_GENERATED = (
    "this model was trained on generated reviews, so its answers say nothing about real ones. "
    "Train one on your own: sentiment run --data FOLDER"
)


def champion_file(name: str = DEFAULT) -> str:
    """Return the path under the storage folder of a champion's file; ModelError for a bad name."""
    if not re.fullmatch(NAME, name):
        raise ModelError(
            f"{name!r} cannot name a champion: use lowercase letters, digits, '-' and '_', and "
            "begin with a letter."
        )
    return f"models/{name}.json"


def champion_names(storage: Path) -> list[str]:
    """Return the names of the champions that there are."""
    return names_in(path.name for path in (storage / CHAMPION).parent.glob("*.json"))


def names_in(files: Iterable[str]) -> list[str]:
    """Return the names of the champions whose files are among these."""
    found = (name.removesuffix(".json") for name in files if name.endswith(".json"))
    return sorted(name for name in found if re.fullmatch(NAME, name))


def model_in_use(storage: Path, name: str = DEFAULT) -> Path:
    """Return a champion's bundle, or the latest model's if there is no champion at all.

    Raises ModelError if there is neither, or if the champion's bundle is gone or is another than
    the one that was promoted; StorageError if the champion file is damaged.
    """
    storage = storage.resolve()
    champions = read_champions(storage, name)
    if champions is None:
        if names := champion_names(storage):
            raise ModelError(
                f"{storage}: no champion {name!r} here, but {', '.join(names)}. Name one with "
                "--model."
            )
        latest = storage / LATEST
        if not latest.exists():
            raise ModelError(
                f"{storage}: no model here yet. Train one with `sentiment run`, or choose another "
                "storage folder, for example with SENTIMENT_STORAGE."
            )
        return latest.resolve()  # a run that ends meanwhile points the link elsewhere
    try:
        champion = storage / str(champions["champion"]["model"])
        digest = champions["champion"]["digest"]
    except (TypeError, KeyError) as error:
        raise unreadable(storage / champion_file(name), error) from error
    try:
        found = bundle_digest(champion)
    except OSError:
        found = None
    if found != digest:
        raise not_promoted(str(champion), found=found is not None)
    return champion


def not_promoted(champion: str, *, found: bool) -> ModelError:
    """Return the error for a champion's bundle that is gone, or another one."""
    return ModelError(
        f"{champion}: the champion's bundle is {'not the one promoted' if found else 'gone'}. "
        "`sentiment models list` lists the models, `sentiment models promote` makes one the "
        "champion."
    )


def model_folder(model: Path | None, storage: Path) -> Path:
    """Return the bundle to use: the one given, else :func:`model_in_use`.

    ``model`` is a bundle's folder, or in the storage folder a champion's name or the start of a
    model's key. Raises ModelError if it is none of these, or the start of several keys.
    """
    if model is None:
        return model_in_use(storage)
    if model.exists() or len(model.parts) != 1:
        return model
    if model.name in champion_names(storage):
        return model_in_use(storage, model.name)
    keys = sorted(path.parent.name for path in (storage / TRAINED).glob(f"*/{SUMS}"))
    found = [key for key in keys if key.startswith(model.name)]
    if len(found) == 1:
        return storage / TRAINED / found[0]
    known = ", ".join(found or keys) or "none yet"
    what = (
        "the start of several keys" if found else "not a model bundle, a champion's name or a key"
    )
    raise ModelError(f"{model}: {what} in {storage / TRAINED}. Models there: {known}.")


def read_champions(storage: Path, name: str = DEFAULT) -> dict[str, Any] | None:
    """Return the content of a champion's file, or None if there has been no champion."""
    path = storage / champion_file(name)
    try:
        return parse_champions(path.read_bytes(), path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(path, error) from error


def parse_champions(text: bytes, path: Path | str) -> dict[str, Any]:
    """Return the content of a champion's file, which is at ``path``."""
    try:
        content = parse_json(text)
        if content["format"] != CHAMPION_FORMAT:
            raise ValueError(
                f"format {content['format']}, but this version reads {CHAMPION_FORMAT}"
            )
    except (ValueError, TypeError, KeyError) as error:
        raise unreadable(path, error) from error
    return dict(content)


def unreadable(path: Path | str, error: Exception) -> StorageError:
    """Return the error for a damaged champion file."""
    return StorageError(
        f"{path}: cannot be read ({error}). Restore a copy, or delete it: the next good run then "
        "promotes its model."
    )
