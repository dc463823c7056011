"""Fetching files over HTTP: going on where a broken download stopped, and checking what came.

A file grows under its name with ``.part`` behind it and gets its name when it is whole: of the size
and digest that the site publishes.
"""

import base64
import hashlib
import shutil
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx
from filelock import FileLock, Timeout

from sentiment.data.hubs import Hub, RemoteFile
from sentiment.errors import DownloadError, StorageError

PAUSES = (1.0, 2.0, 4.0, 8.0)  # seconds before another attempt; one that brought bytes counts anew
TIMEOUT = httpx.Timeout(30.0, connect=10.0)
READ_BYTES = 1 << 20
T = TypeVar("T")

Listener = Callable[[str, int, int | None], None]  # a file's name, its bytes here, and in all


@dataclass(frozen=True)
class Fetched:
    """A file that is now whole: fetched now or there already, and by what it was checked."""

    path: Path
    size: int
    checked: str
    new: bool


@dataclass(frozen=True)
class Published:
    """What a site says of a file: its size in bytes, its digest in hex; None where it does not."""

    size: int | None
    algorithm: str | None
    digest: str | None

    def fault(self, path: Path) -> str | None:
        """Say how a file differs, None if it does not."""
        size = path.stat().st_size
        if self.size is not None and size != self.size:
            return f"has {size:,} bytes instead of {self.size:,}"
        if self.algorithm is not None:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, self.algorithm).hexdigest()
            if found != self.digest:
                return f"has the {self.algorithm} {found} instead of {self.digest}"
        return None

    @property
    def check(self) -> str:
        return self.algorithm or ("size" if self.size is not None else "nothing")


class _Passing(Exception):
    """A failure that another attempt may not meet."""


def download(
    hub: Hub,
    directory: Path,
    *,
    listen: Listener = lambda name, here, total: None,
    pauses: Sequence[float] = PAUSES,
) -> list[Fetched]:
    """Fetch a hub's files into a folder of their own; what is there and whole stays.

    Raises DownloadError when the site cannot be reached, refuses, or sends something else than it
    publishes; StorageError when the folder cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with (
            FileLock(directory / ".download.lock", timeout=0),
            httpx.Client(
                auth=hub.auth,
                follow_redirects=True,
                timeout=TIMEOUT,
                headers={"Accept-Encoding": "identity"},  # the bytes as they are
            ) as client,
        ):
            files = _patiently(lambda: _listing(client, hub), lambda: 0, hub, pauses)
            _check_folder(directory, files)
            return [_fetch(client, hub, file, directory, listen, pauses) for file in files]
    except Timeout:
        raise DownloadError(f"{directory}: another download is at work in this folder.") from None
    except OSError as error:
        raise StorageError(
            f"{error.filename or directory}: cannot be written ({error.strerror or error}). What "
            "has come stays: make room, then run the same command again."
        ) from error


def _listing(client: httpx.Client, hub: Hub) -> list[RemoteFile]:
    try:
        return hub.list_files(client)
    except httpx.HTTPStatusError as error:
        _check_status(error.response, hub)
        raise


def _check_folder(directory: Path, files: Sequence[RemoteFile]) -> None:
    """Refuse a folder with other files: the pipeline would read them with the reviews."""
    own = {name for file in files for name in (file.name, f"{file.name}.part")}
    others = sorted(p.name for p in directory.iterdir() if p.name[0] != "." and p.name not in own)
    if others:
        raise DownloadError(
            f"{directory}: holds other files ({', '.join(others[:3])}). Give these reviews a "
            "folder of their own, since a run reads all of a folder."
        )


def _patiently(
    attempt: Callable[[], T], here: Callable[[], int], hub: Hub, pauses: Sequence[float]
) -> T:
    """Repeat what fails on the way, until as many attempts in a row brought no byte."""
    failures = 0
    while True:
        before = here()
        try:
            return attempt()
        except (httpx.TransportError, _Passing) as error:
            failures = 1 if here() > before else failures + 1
            if failures > len(pauses):
                raise DownloadError(
                    f"{hub.name} cannot be read ({error or type(error).__name__}). Check the "
                    "network, and HTTPS_PROXY if it needs one; then run the same command again: it "
                    f"goes on where it stopped. The reviews' page: {hub.page}"
                ) from error
            time.sleep(pauses[failures - 1])


def _fetch(
    client: httpx.Client,
    hub: Hub,
    file: RemoteFile,
    directory: Path,
    listen: Listener,
    pauses: Sequence[float],
) -> Fetched:
    target, part = directory / file.name, directory / f"{file.name}.part"
    listed = Published(file.size, "sha256" if file.sha256 else None, file.sha256)
    if file.sha256 and target.exists() and listed.fault(target) is None:
        return Fetched(target, target.stat().st_size, listed.check, new=False)

    def attempt() -> Fetched:
        start = _size(part)
        if start and start == file.size:  # whole, but killed before it got its name
            published = listed
        else:
            span = {"Range": f"bytes={start}-"} if start else {}
            with client.stream("GET", file.url, headers=span) as response:
                if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                    part.unlink()
                    raise _Passing(f"{part.name} did not fit and was removed")
                _check_status(response, hub)
                start = _start(response, start)
                published = _published(response, file, start)
                if target.exists() and published.fault(target) is None:
                    part.unlink(missing_ok=True)
                    return Fetched(target, _size(target), published.check, new=False)
                _receive(response, part, start, published.size, listen)
        size = _size(part)
        if published.size is not None and size < published.size:
            raise _Passing(f"{file.name} ended at byte {size:,} of {published.size:,}")
        fault = published.fault(part)
        if fault:
            part.unlink()
            if start:  # the first bytes may come from another version of the file
                raise _Passing(f"{file.name} {fault}")
            raise DownloadError(
                f"{hub.name}: what came as {file.name} {fault}, and was removed. Run the same "
                f"command again; if it stays so, see {hub.page}"
            )
        _unwrap(part, file.name)
        part.replace(target)
        return Fetched(target, _size(target), published.check, new=True)

    return _patiently(attempt, lambda: _size(part), hub, pauses)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _check_status(response: httpx.Response, hub: Hub) -> None:
    status = response.status_code
    if response.is_success:
        return
    said = f"{status} {response.reason_phrase}"
    passing = status in (408, 429) or status >= 500
    if passing or (status == 403 and response.history):  # a signed address that has run out
        raise _Passing(f"it answered {said}")
    if status in (401, 403):
        raise DownloadError(f"{hub.name} refused the reviews ({said}). {hub.access}")
    if status == 404:
        raise DownloadError(
            f"{hub.name} has no {response.request.url.copy_with(query=None)} (404). The reviews "
            f"may have moved: see {hub.page}"
        )
    raise DownloadError(f"{hub.name} answered {said}. See {hub.page}")


def _start(response: httpx.Response, asked: int) -> int:
    """Return the place of the answer's first byte: a site may ignore the range asked for."""
    if response.status_code != httpx.codes.PARTIAL_CONTENT:
        return 0
    if not response.headers.get("Content-Range", "").startswith(f"bytes {asked}-"):
        raise DownloadError(f"{response.url.host} sent other bytes than those asked for.")
    return asked


def _published(response: httpx.Response, file: RemoteFile, start: int) -> Published:
    length = response.headers.get("Content-Length")
    size = file.size if file.size is not None else start + int(length) if length else None
    if file.sha256:
        return Published(size, "sha256", file.sha256)
    for entry in response.headers.get("x-goog-hash", "").split(","):  # Google's storage: Kaggle
        name, _, value = entry.strip().partition("=")
        if name == "md5":
            return Published(size, "md5", base64.b64decode(value).hex())
    return Published(size, None, None)


def _receive(
    response: httpx.Response, part: Path, start: int, total: int | None, listen: Listener
) -> None:
    free = shutil.disk_usage(part.parent).free
    if total is not None and total - start > free:
        raise StorageError(
            f"{part.parent}: {total - start:,} bytes of {part.stem} are to come, and only {free:,} "
            "are free. Make room, then run the same command again."
        )
    here = start
    with part.open("ab" if start else "wb") as out:
        for chunk in response.iter_raw():  # as they come: a break loses none
            out.write(chunk)
            here += len(chunk)
            listen(part.stem, here, total)


def _unwrap(part: Path, name: str) -> None:
    """Unpack a file that the site has put into a zip archive, as Kaggle does with some."""
    with part.open("rb") as file:
        packed = file.read(4) == b"PK\x03\x04" and zipfile.is_zipfile(part)
    if packed:
        inner = part.with_name(f".{name}.unpacked")
        with zipfile.ZipFile(part) as archive:
            members = archive.namelist()
            if members != [name]:
                raise DownloadError(f"{part}: an archive of {members}, not of {name}.")
            with archive.open(name) as source, inner.open("wb") as out:
                shutil.copyfileobj(source, out, READ_BYTES)
        inner.replace(part)
