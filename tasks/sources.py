"""The input files: which files of a folder or URL are reviews, and what each is for."""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

from sentiment.data.formats import KINDS, TABLES, unpacked_name
from sentiment.errors import DataError, StorageError
from sentiment.files import digest_file, file_state, parse_json, read_json
from tasks.manifest import INPUTS, SHORT, Artifact
from tasks.store import Store
from tasks.store.atomic import write_atomically, writing_to
from tasks.store.inputs import DIGESTS
from tasks.store.objects import Listed, Objects
from tasks.store.place import is_url, resolved
from tasks.store.remote import at_once

ROLES = {
    "train": "train",
    "test": "test",
    "validation": "validation",
    "valid": "validation",
    "dev": "validation",
}
REMEMBERED = "digests"  # folder of the digests of remote files
File: TypeAlias = "Path | RemoteFile"
_ROLE = re.compile(rf"(?:^|[^a-z])({'|'.join(ROLES)})(?=[^a-z]|$)", re.IGNORECASE)


@dataclass(frozen=True)
class RemoteFile:
    """A file in remote storage, as the folder at ``url`` lists it."""

    url: str
    listed: Listed

    def __str__(self) -> str:
        return f"{self.url}/{self.name}"

    @property
    def name(self) -> str:
        return self.listed.path

    @property
    def suffix(self) -> str:
        return Path(self.name).suffix


@dataclass(frozen=True)
class Source:
    """One input file and the split it is for."""

    role: str
    path: Path | RemoteFile


def find_sources(data: str | Path) -> list[Source]:
    """Return the review files of a folder or URL (or the one file) in the order of their names.

    A file belongs to the split that its name contains as a word: ``train.ft.txt.bz2``,
    ``amazon.test.ft.txt.bz2``, ``validation.csv``. A single file is for training, and so are the
    only table in a folder and its numbered parts, if no name says a split. Raises DataError if the
    only file for a split cannot be read, since other files would be split in its place.
    """
    files = _files(data)
    if not isinstance(files, list):
        return [Source("train", files)]
    sources = []
    names: dict[str, File] = {}
    unread: dict[str, File] = {}
    for path in files:
        role = _ROLE.search(path.name)
        if not role or path.name.startswith("."):
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
        sources = [Source("train", path) for path in _only_files(files)]
    if not any(source.role == "train" for source in sources):
        raise DataError(
            f"{data}: no training file here. Expected a name like train.ft.txt.bz2, one table, or "
            f"its numbered parts ({KINDS})."
        )
    return sources


def _files(data: str | Path) -> "list[File] | File":
    """Return the files of a folder or URL by their names, or the one file that it is."""
    if not is_url(data):
        path = Path(data)
        if path.is_file():
            return path
        if not path.is_dir():
            raise DataError(f"{data}: no such file or folder. Name the reviews with --data.")
        return [entry for entry in sorted(path.iterdir()) if not entry.is_dir()]
    url = resolved(data)
    listed = Objects(url).files()
    if listed is not None:
        return [RemoteFile(url, entry) for entry in listed]
    folder, _, name = url.rpartition("/")
    entry = Objects(folder).look(name) if not folder.endswith("/") else None
    if entry is None:
        raise DataError(f"{url}: no such file or folder. Name the reviews with --data.")
    return RemoteFile(folder, entry)


def _unpacked(file: "File") -> str:
    return unpacked_name(Path(file.name))


def _is_readable(path: "File") -> bool:
    suffix = Path(_unpacked(path)).suffix.lower()
    is_file = isinstance(path, RemoteFile) or path.is_file()
    return is_file and (suffix in (".txt", *TABLES) or path.suffix.lower() == ".zip")


def _refuse_copy(path: "File", names: dict[str, "File"]) -> None:
    """Add a file to ``names``, by its name without compression. Raise DataError if one is there."""
    plain = _unpacked(path)
    for name, other in names.items():
        zipped = ".zip" in (path.suffix.lower(), other.suffix.lower())  # which may hide the ending
        if name == plain or (zipped and (name == Path(plain).stem or plain == Path(name).stem)):
            raise DataError(
                f"{path} and {other.name} look like the same reviews, compressed and "
                "uncompressed. Keep one of them."
            )
    names[plain] = path


def _only_files(found: Sequence["File"]) -> list["File"]:
    """Return a folder's only table, or all its tables if their names differ in a number only.

    Files of lines count if there is no table, since a README may be one.
    """
    files = [path for path in found if path.name[0] not in "._" and _is_readable(path)]
    tables = [path for path in files if not _unpacked(path).lower().endswith(".txt")] or files
    names: dict[str, File] = {}
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


def digest_sources(sources: Sequence[Source], store: Store) -> list[Artifact]:
    """Return input files as artifacts with their digests."""
    files = [source.path for source in sources]
    here = iter(digest_files([file for file in files if isinstance(file, Path)], store.root))
    there = at_once(
        lambda file: _digest_remote(file, store),
        [file for file in files if isinstance(file, RemoteFile)],
    )
    return [next(here if isinstance(file, Path) else there) for file in files]


def _digest_remote(file: RemoteFile, store: Store) -> Artifact:
    """Return a remote file as an artifact; it is fetched if its digest is new.

    Digests are remembered in the storage, by URL, size and tag, for all machines.
    """
    url, size = str(file), file.listed.size
    memory = f"{REMEMBERED}/{hashlib.sha256(url.encode()).hexdigest()}.json"
    state = [size, file.listed.tag]
    seen = store.get(memory)
    time = int(file.listed.when.timestamp() * 1e9)
    with suppress(ValueError):
        match parse_json(seen.content if seen else b""):
            case [before, str(digest)] if before == state:
                return Artifact(file.name, url, digest, size, time)
    folder, unfinished = store.root / INPUTS, f".{Path(memory).stem[:SHORT]}-"  # as gc knows it
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with writing_to(folder), TemporaryDirectory(dir=folder, prefix=unfinished) as fresh:
        copy = Path(fresh, file.name)
        try:
            digest = Objects(file.url).fetch(file.name, copy)
        except FileNotFoundError as error:
            raise DataError(f"{url}: gone since this run began.") from error
        artifact = Artifact(file.name, url, digest, copy.stat().st_size, time)
        os.utime(copy, ns=(time, time))
        here = artifact.local(store.root)
        here.parent.mkdir(exist_ok=True)
        copy.replace(here)
    with suppress(StorageError):  # it only saves time
        store.put(memory, json.dumps([state, digest]))
    return artifact


def digest_files(paths: Iterable[Path], storage: Path) -> list[Artifact]:
    """Return files outside the storage folder as artifacts with their digests.

    Digests are cached in the storage folder; a file is read again if its state changed.
    """
    memory = storage / DIGESTS
    known = _remembered(memory)
    artifacts, fresh = [], {}
    for path in map(Path, map(resolved, paths)):
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
