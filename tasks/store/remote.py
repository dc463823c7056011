"""Results in remote storage, where they outlive and reach beyond this machine's cache.

``<url>/<stage>/<key>/manifest.json`` is written last: from then on the result exists. Its files are
beside it, each in a folder named by its digest. So nothing is overwritten with other bytes, and of
two machines that do the same work with different bytes one wins, with all of its files.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from sentiment.errors import DataError, StorageError
from sentiment.files import digest_file, replacing
from tasks.manifest import SHORT, Artifact, Manifest
from tasks.store.atomic import writing_to
from tasks.store.objects import Objects

MANIFEST = "manifest.json"
MARKER = ".sentiment-storage"
AT_ONCE = 32  # requests under way
VERIFY = "Run the same command again with --verify, which finds all that is damaged or missing."

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def mark(objects: Objects) -> None:
    """Mark remote storage as a store; StorageError if that creates what is there already."""
    if objects.create(MARKER, uuid4().bytes) and objects.create(MARKER, uuid4().bytes):
        raise objects.unfit("it creates an object that is there (it ignores If-None-Match)")


def place_of(artifact: Artifact) -> str:
    """Return the path of a result's file below the storage's URL."""
    folder = artifact.path.removesuffix(f"/{artifact.name}")
    return f"{folder}/{artifact.sha256[:SHORT]}/{artifact.name}"


def publish(objects: Objects, root: Path, manifest: Manifest, *, replace: bool = False) -> Manifest:
    """Put a result's files and then its manifest; return the manifest that counts from now on.

    That is the one of another machine if it was first, unless this one is to ``replace`` it.
    """
    for artifact in manifest.outputs:
        objects.put(place_of(artifact), artifact.local(root))
    path, content = f"{manifest.stage}/{manifest.key}/{MANIFEST}", manifest.to_json().encode()
    if replace:
        objects.put(path, content)
    elif not objects.create(path, content):
        first = objects.get(path)
        if first is not None:
            return Manifest.from_json(first.content)
        objects.put(path, content)
    return manifest


def bring(objects: Objects | None, root: Path, artifact: Artifact, *, verify: bool = False) -> None:
    """Fetch a file to this machine unless it is there; raises DataError or StorageError.

    A file that is there counts if its size and time are right or, with ``verify``, its content.
    """
    path = artifact.local(root)
    if _is_there(path, artifact, verify):
        return
    source: Objects | None = objects
    if artifact.is_url:
        folder, _, name = artifact.path.rpartition("/")
        source, place = Objects(folder), name
    else:
        place = place_of(artifact)
    if source is None:
        return  # of a folder, whose files are where they are
    with writing_to(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as unfinished:
            if _digest(source, place, unfinished) != artifact.sha256:
                raise _changed(source.place(place), artifact)
            os.utime(unfinished, ns=(artifact.mtime_ns, artifact.mtime_ns))


def damage(objects: Objects, artifact: Artifact) -> str | None:
    """Read a result's file in the storage; return what is wrong with it."""
    found = _digest(objects, place_of(artifact), None)
    if found == artifact.sha256:
        return None
    return f"{artifact.path} is {'damaged' if found else 'missing'}"


def at_once(function: Callable[[Item], Answer], items: Iterable[Item]) -> Iterator[Answer]:
    """Yield what a function returns for each item, in their order; some are under way ahead."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ahead: deque[Future[Answer]] = deque()
        for item in items:
            ahead.append(pool.submit(function, item))
            if len(ahead) > AT_ONCE:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def paths_of(objects: Objects, folder: str, name: str) -> Sequence[str]:
    """Return the paths ``<folder>/*/<name>`` that there are, in order."""
    paths = (listed.path for listed in objects.list(folder))
    return sorted(path for path in paths if path.count("/") == 2 and path.endswith(f"/{name}"))


def _is_there(path: Path, artifact: Artifact, verify: bool) -> bool:
    try:
        stat = path.stat()
    except OSError:
        return False
    same = stat.st_size == artifact.size
    if same and (verify or stat.st_mtime_ns != artifact.mtime_ns):
        return digest_file(path) == artifact.sha256
    return same


def _digest(objects: Objects, place: str, to: Path | None) -> str | None:
    try:
        return objects.fetch(place, to)
    except FileNotFoundError:
        return None


def _changed(where: str, artifact: Artifact) -> DataError | StorageError:
    if artifact.is_url:
        return DataError(f"{where}: changed or gone since this run began. Run it again.")
    return StorageError(f"{where}: missing, or not what was written. {VERIFY}")
