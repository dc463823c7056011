"""Which model of a storage folder is in use: its champion, else the latest trained one."""

import json
from pathlib import Path
from typing import Any

from sentiment.errors import ModelError, StorageError

CHAMPION = "models/champion.json"  # who is champion and who was before; written in one step
CHAMPION_FORMAT = 1
LATEST = "models/latest"  # link to the bundle of the last run that had one


def model_in_use(storage: Path) -> Path:
    """Return the bundle of the champion, without one that of the latest model.

    Raises ModelError when there is neither or the champion's bundle is gone, StorageError when
    the file that names the champion is damaged.
    """
    storage = storage.resolve()
    champions = read_champions(storage)
    if champions is None:
        latest = storage / LATEST
        if not latest.exists():
            raise ModelError(
                f"{storage}: no model here yet. Train one with `sentiment run`, or name another "
                "storage folder, as by SENTIMENT_STORAGE."
            )
        return latest
    try:
        champion = storage / str(champions["champion"]["model"])
    except (TypeError, KeyError) as error:
        raise unreadable(storage / CHAMPION, error) from error
    if not champion.is_dir():
        raise ModelError(
            f"{champion}: the champion's bundle is gone. `sentiment models list` shows the models "
            "that there are, `sentiment models promote` makes one the champion."
        )
    return champion


def model_folder(model: Path | None, storage: Path) -> Path:
    """Return the bundle to use: the one given, else :func:`model_in_use`."""
    return model or model_in_use(storage)


def read_champions(storage: Path) -> dict[str, Any] | None:
    """Return what is written of the champion and those before it, None if there was never one."""
    path = storage / CHAMPION
    try:
        content = json.loads(path.read_bytes())
        if content["format"] != CHAMPION_FORMAT:
            raise ValueError(f"format {content['format']}, this version reads {CHAMPION_FORMAT}")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise unreadable(path, error) from error
    return dict(content)


def unreadable(path: Path, error: Exception) -> StorageError:
    """Return the error that says what can be done about a damaged file of champions."""
    return StorageError(
        f"{path}: cannot be read ({error}). Put a copy back, or delete it: the next good run then "
        "promotes its model."
    )
