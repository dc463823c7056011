"""Downloads over HTTP that resume after a break and check size and digest.

A file is written as ``<name>.part`` and renamed when its size and digest are those that the site
publishes.
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
from sentiment.files import advice

PAUSES = (1.0, 2.0, 4.0, 8.0)  # seconds before each retry; any byte received resets the count
TIMEOUT = httpx.Timeout(30.0, connect=10.0)
READ_BYTES = 1 << 20
T = TypeVar("T")

Listener = Callable[[str, int, int | None], None]  # file name, bytes here, bytes in all


@dataclass(frozen=True)
class Fetched:
    """A complete file: whether it was downloaded now (``new``), and how it was checked."""

    path: Path
    size: int
    checked: str
    new: bool


@dataclass(frozen=True)
class Published:
    """A file's size in bytes and hex digest as the site states them; None where it does not."""

    size: int | None
    algorithm: str | None
    digest: str | None

    def fault(self, path: Path) -> str | None:
        """Return how a file differs, None if it does not."""
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


class _Transient(Exception):
    """A failure that a retry may not meet."""


def download(
    hub: Hub,
    directory: Path,
    *,
    listen: Listener = lambda name, here, total: None,
    pauses: Sequence[float] = PAUSES,
) -> list[Fetched]:
    """Download a hub's files into a folder of their own; keep those that are complete.

    Raises DownloadError if the site cannot be reached, refuses, or sends other content than it
    publishes; StorageError if the folder cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with (
            FileLock(directory / ".download.lock", timeout=0),
            httpx.Client(
                auth=hub.auth,
                follow_redirects=True,
                timeout=TIMEOUT,
                headers={"Accept-Encoding": "identity"},  # the file's own bytes
            ) as client,
        ):
            files = _with_retries(lambda: _listing(client, hub), lambda: 0, hub, pauses)
            _check_folder(directory, files)
            return [_fetch(client, hub, file, directory, listen, pauses) for file in files]
    except Timeout:
        raise DownloadError(f"{directory}: another download is running in this folder.") from None
    except OSError as error:
        raise StorageError(
            f"{error.filename or directory}: cannot be written ({error.strerror or error}). "
            f"{advice(error, 'choose another folder')} The same command resumes."
        ) from error


def _listing(client: httpx.Client, hub: Hub) -> list[RemoteFile]:
    try:
        return hub.list_files(client)
    except httpx.HTTPStatusError as error:
        _check_status(error.response, hub)
        raise


def _check_folder(directory: Path, files: Sequence[RemoteFile]) -> None:
    """Refuse a folder with other files, which a run would read as reviews too."""
    own = {name for file in files for name in (file.name, f"{file.name}.part")}
    others = sorted(p.name for p in directory.iterdir() if p.name[0] != "." and p.name not in own)
    if others:
        raise DownloadError(
            f"{directory}: holds other files ({', '.join(others[:3])}). Choose an empty folder, "
            "since a run reads every file in it."
        )


def _with_retries(
    attempt: Callable[[], T], here: Callable[[], int], hub: Hub, pauses: Sequence[float]
) -> T:
    """Retry transient failures until ``len(pauses)`` retries in a row brought no byte."""
    failures = 0
    while True:
        before = here()
        try:
            return attempt()
        except (httpx.TransportError, _Transient) as error:
            failures = 1 if here() > before else failures + 1
            if failures > len(pauses):
                raise DownloadError(
                    f"{hub.name} cannot be read ({error or type(error).__name__}). Check the "
                    "network, and HTTPS_PROXY if it needs one; then run the same command again to "
                    f"resume. The reviews' page: {hub.page}"
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
        if start and start == file.size:  # complete, but killed before the rename
            published = listed
        else:
            span = {"Range": f"bytes={start}-"} if start else {}
            with client.stream("GET", file.url, headers=span) as response:
                if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                    part.unlink()
                    raise _Transient(f"{part.name} does not match and was removed")
                _check_status(response, hub)
                start = _start(response, start)
                published = _published(response, file, start)
                if target.exists() and published.fault(target) is None:
                    part.unlink(missing_ok=True)
                    return Fetched(target, _size(target), published.check, new=False)
                _receive(response, part, start, published.size, listen)
        size = _size(part)
        if published.size is not None and size < published.size:
            raise _Transient(f"{file.name} ended at byte {size:,} of {published.size:,}")
        fault = published.fault(part)
        if fault:
            part.unlink()
            if start:  # it may begin with another version of the file
                raise _Transient(f"{file.name} {fault}")
            raise DownloadError(
                f"{hub.name}: the downloaded {file.name} {fault}, and was removed. Run the same "
                f"command again; if that does not help, see {hub.page}"
            )
        _unwrap(part, file.name)
        part.replace(target)
        return Fetched(target, _size(target), published.check, new=True)

    return _with_retries(attempt, lambda: _size(part), hub, pauses)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _check_status(response: httpx.Response, hub: Hub) -> None:
    status = response.status_code
    if response.is_success:
        return
    answer = f"{status} {response.reason_phrase}"
    transient = status in (408, 429) or status >= 500
    if transient or (status == 403 and response.history):  # an expired signed URL
        raise _Transient(f"it answered {answer}")
    if status in (401, 403):
        raise DownloadError(f"{hub.name} refused access ({answer}). {hub.access}")
    if status == 404:
        raise DownloadError(
            f"{hub.name} has no {response.request.url.copy_with(query=None)} (404). The reviews "
            f"may have moved: see {hub.page}"
        )
    raise DownloadError(f"{hub.name} answered {answer}. See {hub.page}")


def _start(response: httpx.Response, asked: int) -> int:
    """Return the offset of the response's first byte: a site may ignore the Range header."""
    if response.status_code != httpx.codes.PARTIAL_CONTENT:
        return 0
    if not response.headers.get("Content-Range", "").startswith(f"bytes {asked}-"):
        raise DownloadError(
            f"{response.url.host} sent a range of bytes other than the requested one."
        )
    return asked


def _published(response: httpx.Response, file: RemoteFile, start: int) -> Published:
    length = response.headers.get("Content-Length")
    size = file.size if file.size is not None else start + int(length) if length else None
    if file.sha256:
        return Published(size, "sha256", file.sha256)
    for entry in response.headers.get("x-goog-hash", "").split(
        ","
    ):  # Google Cloud Storage, as used by Kaggle
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
            f"{part.parent}: {total - start:,} bytes of {part.stem} are still to come, but only "
            f"{free:,} are free. Free some space, then run the same command again."
        )
    here = start
    with part.open("ab" if start else "wb") as out:
        for chunk in response.iter_raw():  # unbuffered, so that a break loses no byte
            out.write(chunk)
            here += len(chunk)
            listen(part.stem, here, total)


def _unwrap(part: Path, name: str) -> None:
    """Unpack a file that the site sent as a zip archive, as Kaggle does with some."""
    with part.open("rb") as file:
        packed = file.read(4) == b"PK\x03\x04" and zipfile.is_zipfile(part)
    if packed:
        inner = part.with_name(f".{name}.unpacked")
        with zipfile.ZipFile(part) as archive:
            members = archive.namelist()
            if members != [name]:
                raise DownloadError(f"{part}: an archive of {members} instead of {name}.")
            with archive.open(name) as source, inner.open("wb") as out:
                shutil.copyfileobj(source, out, READ_BYTES)
        inner.replace(part)
