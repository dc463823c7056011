"""Atomic writes to the storage folder, and their errors."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from sentiment.errors import StorageError


@contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """Turn a failure to write into a StorageError that names the path."""
    try:
        yield
    except (OSError, SafetensorError) as error:  # safetensors has its own for a full disk
        place = getattr(error, "filename", None) or path
        why = getattr(error, "strerror", None) or error
        raise StorageError(
            f"{place}: cannot be written ({why}). Free some space, or choose another folder with "
            "--storage or SENTIMENT_STORAGE."
        ) from error


def write_atomically(path: Path, text: str) -> None:
    """Replace a file's content in one step, creating its folder if needed.

    Raises StorageError and keeps the old content if that fails.
    """
    unfinished = path.with_name(f".{path.name}-{os.getpid()}-{uuid.uuid4().hex[:8]}")
    with writing_to(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished.write_text(text, encoding="utf-8")
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)


def point_to(root: Path, name: str, target: str) -> None:
    """Make ``<root>/<name>`` a relative link to ``<root>/<target>``, in one step."""
    link = root / name
    link.parent.mkdir(parents=True, exist_ok=True)
    fresh = link.with_name(f".{link.name}-{os.getpid()}-{uuid.uuid4().hex[:8]}")
    fresh.symlink_to(Path("..") / target)
    fresh.replace(link)
