"""The input files: which of a folder's files are reviews, and what each is for."""

import json
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentiment.data.formats import KINDS, TABLES, unpacked_name
from sentiment.errors import DataError, StorageError
from sentiment.files import digest_file, file_state, read_json
from tasks.manifest import Artifact
from tasks.store.atomic import write_atomically
from tasks.store.inputs import DIGESTS

ROLES = {
    "train": "train",
    "test": "test",
    "validation": "validation",
    "valid": "validation",
    "dev": "validation",
}
_ROLE = re.compile(rf"(?:^|[^a-z])({'|'.join(ROLES)})(?=[^a-z]|$)", re.IGNORECASE)


@dataclass(frozen=True)
class Source:
    """One input file and the split it is for."""

    role: str
    path: Path


def find_sources(data: Path) -> list[Source]:
    """Return the review files of a folder (or the one file given) in the order of their names.

    A file belongs to the split that its name contains as a word: ``train.ft.txt.bz2``,
    ``amazon.test.ft.txt.bz2``, ``validation.csv``. A single file is for training, and so are the
    only table in a folder and its numbered parts, if no name says a split. Raises DataError if the
    only file for a split cannot be read, since other files would be split in its place.
    """
    if data.is_file():
        return [Source("train", data)]
    if not data.is_dir():
        raise DataError(f"{data}: no such file or folder. Name the reviews with --data.")
    sources = []
    names: dict[str, Path] = {}
    unread: dict[str, Path] = {}
    for path in sorted(data.iterdir()):
        role = _ROLE.search(path.name)
        if not role or path.is_dir() or path.name.startswith("."):
            continue
        if not _is_readable(path):
            unread[ROLES[role[1].lower()]] = path
            continue
        _refuse_copy(path, names)
        sources.append(Source(ROLES[role[1].lower()], path))
    found = {source.role for source in sources}
    for split, path in unread.items():
        if split not in found:
            raise DataError(
                f"{path}: named like {split} reviews, but not a file that can be read ({KINDS}). "
                "Convert it, or give it another name."
            )
    if not sources and not unread:
        sources = [Source("train", path) for path in _only_files(data)]
    if not any(source.role == "train" for source in sources):
        raise DataError(
            f"{data}: no training file here. Expected a name like train.ft.txt.bz2, one table, or "
            f"its numbered parts ({KINDS})."
        )
    return sources


def _is_readable(path: Path) -> bool:
    suffix = Path(unpacked_name(path)).suffix.lower()
    return path.is_file() and (suffix in (".txt", *TABLES) or path.suffix.lower() == ".zip")


def _refuse_copy(path: Path, names: dict[str, Path]) -> None:
    """Add a file to ``names``, by its name without packing. Raise DataError if one is there."""
    plain = unpacked_name(path)
    for name, other in names.items():
        zipped = ".zip" in (path.suffix.lower(), other.suffix.lower())  # which may hide the ending
        if name == plain or (zipped and (name == Path(plain).stem or plain == Path(name).stem)):
            raise DataError(
                f"{path} and {other.name} look like the same reviews, packed and unpacked. Keep "
                "one of them."
            )
    names[plain] = path


def _only_files(data: Path) -> list[Path]:
    """Return a folder's only table, or all its tables if their names differ in a number only.

    Files of lines count if there is no table, since a README may be one.
    """
    files = [
        path for path in sorted(data.iterdir()) if path.name[0] not in "._" and _is_readable(path)
    ]
    tables = [path for path in files if not unpacked_name(path).lower().endswith(".txt")] or files
    names: dict[str, Path] = {}
    for path in tables:
        _refuse_copy(path, names)
    return tables if _differ_in_a_number([path.name for path in tables]) else []


def _differ_in_a_number(names: Sequence[str]) -> bool:
    """Return whether names are all the same but for one number in them."""
    parts = [re.split(r"(\d+)", name) for name in names]  # in odd places the numbers
    if len({len(each) for each in parts}) > 1:
        return False
    differing = [at for at, part in enumerate(zip(*parts, strict=True)) if len(set(part)) > 1]
    return len(differing) <= 1 and all(at % 2 for at in differing)


def digest_files(paths: Iterable[Path], storage: Path) -> list[Artifact]:
    """Return files outside the storage folder as artifacts with their digests.

    Digests are cached in the storage folder; a file is read again if its size or time changed.
    """
    memory = storage / DIGESTS
    known = _remembered(memory)
    artifacts, fresh = [], {}
    for path in (path.resolve() for path in paths):
        try:
            now = file_state(path)
            state = list(now)
            match known.get(str(path)):
                case [before, str(digest)] if before == state:
                    pass
                case _:
                    digest = digest_file(path)
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from error
        fresh[str(path)] = [state, digest]
        artifacts.append(Artifact(path.name, str(path), digest, now.size, now.mtime_ns))
    if any(known.get(path) != entry for path, entry in fresh.items()):
        with suppress(StorageError):  # they only save time
            write_atomically(memory, json.dumps({**known, **fresh}, indent=1))
    return artifacts


def _remembered(memory: Path) -> dict[str, Any]:
    try:
        content = read_json(memory)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
