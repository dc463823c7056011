"""Atomic writes to the storage folder, and their errors."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from sentiment.errors import StageError, StorageError
from sentiment.files import advice, replacing

TOO_MANY = {errno.EMFILE, errno.ENFILE}
NOT_WRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, *TOO_MANY}
READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}
ELSEWHERE = "choose another folder with --storage or SENTIMENT_STORAGE"


@contextmanager
def computing_in(path: Path) -> Iterator[None]:
    """Turn a stage's operating system errors into a StorageError or StageError with the path.

    A stage reads and writes, so only the errors of a full or read-only disk are its writing's.
    Too many open files are neither's.
    """
    with writing_to(path):
        try:
            yield
        except OSError as error:
            if error.errno in NOT_WRITABLE:
                raise
            place = error.filename or path
            raise StageError(f"{place}: {error.strerror or error}.") from error


@contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """Turn a failure to write into a StorageError that names the path."""
    try:
        yield
    except (OSError, SafetensorError) as error:  # safetensors has its own for a full disk
        place = getattr(error, "filename", None) or path
        why = getattr(error, "strerror", None) or error
        done = "opened" if getattr(error, "errno", None) in TOO_MANY else "written"
        raise StorageError(
            f"{place}: cannot be {done} ({why}). {advice(error, ELSEWHERE)}"
        ) from error


def write_atomically(path: Path, text: str, *, durable: bool = True) -> None:
    """Replace a file's content in one step, creating its folder if needed.

    What is not ``durable`` may be lost in a power cut. Raises StorageError, and keeps the old
    content, if the new one cannot be written.
    """
    with writing_to(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, durable=durable) as unfinished:
            unfinished.write_text(text, encoding="utf-8")


def point_to(root: Path, name: str, target: str) -> None:
    """Make ``<root>/<name>`` a relative link to ``<root>/<target>``, in one step."""
    link = root / name
    with writing_to(link):
        link.parent.mkdir(parents=True, exist_ok=True)
        with replacing(link) as fresh:
            fresh.symlink_to(Path("..") / target)
