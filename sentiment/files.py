"""Files: written whole or not at all, JSON that is read, and whether others write a file."""

import errno
import hashlib
import json
import os
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

TICK_NS = 20_000_000  # longer than a tick of the clock that gives files their times


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, and rename it to ``path`` when the block ends.

    If the block raises, the temporary file is removed and ``path`` stays as it was. A killed
    process leaves a file ``.<name>-<pid>-<hex>``. What is not ``durable`` is not worth waiting for
    the disk.
    """
    unfinished = path.with_name(f".{path.name}-{os.getpid()}-{uuid.uuid4().hex[:8]}")
    try:
        yield unfinished
        if durable and not unfinished.is_symlink():
            flush(unfinished)
        unfinished.replace(path)
        if durable:
            flush(path.parent)
    finally:
        unfinished.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Wait until a file's content, or a folder's entries, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class FileState(NamedTuple):
    """A file's size, the times of its last change, and its number.

    They change when it is written: whoever sets ``mtime_ns`` back changes ``ctime_ns``.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


def file_state(path: Path) -> FileState:
    """Return a file's state. A write after this call makes it another one.

    So this waits a moment if the file has just been written: the clock of its time is a coarse one.
    """
    while True:
        stat = path.stat()
        if not 0 <= time.time_ns() - stat.st_ctime_ns < TICK_NS:
            return FileState(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
        time.sleep(TICK_NS / 1e9)


def is_in_state(path: Path, state: FileState) -> bool:
    """Return whether a file is still there and has not been written since."""
    try:
        return file_state(path) == state
    except OSError:
        return False


def digest_file(path: Path) -> str:
    """Return the sha256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path) -> Any:
    """Return what a JSON file holds. Raises OSError, or ValueError if it is not JSON."""
    return parse_json(path.read_bytes())


def parse_json(content: bytes) -> Any:
    """Return what JSON text holds. Raises ValueError if it is none."""
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def advice(error: BaseException, otherwise: str) -> str:
    """Return what to do about a file that cannot be written: what fits the error, or ``otherwise``.

    ``otherwise`` is a request such as "choose another folder".
    """
    named = re.search(r"os error (\d+)", str(error))  # as safetensors writes the number
    match getattr(error, "errno", None) or (named and int(named[1])):
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            return f"Free some space, or {otherwise}."
        case errno.EACCES | errno.EPERM:
            return f"Allow this user to write there, or {otherwise}."
        case errno.EMFILE | errno.ENFILE:
            return "Allow more open files (`ulimit -n`), then run the same command again."
        case _:
            return f"{otherwise[0].upper()}{otherwise[1:]}."
