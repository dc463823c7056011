"""Zip files that hold one table, as Kaggle and Excel users make them."""

import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from sentiment.data.formats import EXTRACT, TABLES, unpacked_name
from sentiment.errors import ArchiveError, DataError
from sentiment.progress import OnRead

MOST_NAMED = 10  # members in a message
DAMAGED = (  # what is raised for a damaged file; UnicodeDecodeError for the name of a member
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,  # as zipfile raises for a method of compression that does not exist
    UnicodeDecodeError,
)


@contextmanager
def _opened(path: Path, file: BinaryIO | Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(file) as archive:
            yield archive
    except DAMAGED as error:
        raise ArchiveError(
            f"{path}: not a valid zip file, or cut off ({error}). Download the file again, or "
            "extract it."
        ) from error
    except RuntimeError as error:  # of a member with a password
        raise DataError(
            f"{path}: cannot be extracted ({error}). Extract it yourself first."
        ) from error


def _only_member(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """Return the one table in an archive, or its only file; hidden files do not count."""
    members = [
        member
        for member in archive.infolist()
        if not member.is_dir()
        and not any(
            part.startswith((".", "__MACOSX"))
            for part in PurePosixPath(member.filename).parts  # without the dot of ./reviews.csv
        )
    ]
    tables = [m for m in members if Path(unpacked_name(Path(m.filename))).suffix.lower() in TABLES]
    if len(tables) == 1 or len(members) == 1:
        return (tables or members)[0]
    names = [member.filename for member in members[:MOST_NAMED]]
    shown = ", ".join(names) + ", ..." * (len(members) > MOST_NAMED)
    raise DataError(
        f"{path}: holds {len(members)} files, not one table{': ' * bool(names)}{shown}. {EXTRACT}"
    )


def member_name(path: Path) -> str:
    """Return the name of the one table in a zip file, without its folder."""
    try:
        with _opened(path, path) as archive:
            return PurePosixPath(_only_member(path, archive).filename).name
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from error


def read_member(path: Path, file: BinaryIO, most: int, on_read: OnRead) -> Iterator[bytes]:
    """Yield the content of the one table in a zip file, at most ``most`` bytes at a time.

    ``on_read`` gets the share read so far. Raises DataError if there are several tables, or none,
    ArchiveError if the file is damaged: its checksum is compared at its end.
    """
    with _opened(path, file) as archive:
        member = _only_member(path, archive)
        done = 0
        with archive.open(member) as content:
            while block := content.read(most):
                done += len(block)
                on_read(min(done / max(1, member.file_size), 1.0))
                yield block
    if not done:
        raise DataError(f"{path}: {member.filename} in it is empty (0 bytes).")
