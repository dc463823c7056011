"""Objects in remote storage. The one module that knows obstore, its client.

Transient failures (503, no answer, a connection that is cut) are retried for a while. What still
fails is a StorageError with the place. Its cause is an OSError: with ``ETIMEDOUT`` where a later
attempt may succeed.
"""

import errno
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime, timedelta
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from sentiment.errors import ConfigError, StorageError

RETRIES: dict[str, Any] = {
    "max_retries": 7,
    "retry_timeout": timedelta(minutes=5),  # since the start of a download, which resumes
    "backoff": {
        "init_backoff": timedelta(milliseconds=100),
        "max_backoff": timedelta(seconds=5),
        "base": 2,
    },
}
CLIENT = {
    "connect_timeout": timedelta(seconds=5),
    "read_timeout": timedelta(minutes=1),  # without a byte
    "timeout": timedelta(hours=6),  # of all of a large file
}
CHUNK = 1 << 20  # bytes of a download that are written at once
CONFLICTS = 5  # creations in a row that were refused though nothing is there
LATER = (
    "Check the connection, and the address in the environment (AWS_ENDPOINT_URL, AWS_REGION). Run "
    "the same command again when it answers; what is finished is kept."
)
PASSING = ("408", "409", "429")  # statuses of requests that may succeed later
NO_BUCKET = "there is no such bucket. Create it, or name another one."
RIGHTS = (
    "Check the credentials and the region in the environment, and what they allow: `sentiment "
    "doctor --storage URL` tries each right."
)


class Seen(NamedTuple):
    """An object's content, and the tag that changes with it."""

    content: bytes
    tag: str


class Listed(NamedTuple):
    """An object in a list: its path below the URL, size in bytes, tag and last change."""

    path: str
    size: int
    tag: str
    when: datetime


class Objects:
    """The objects whose addresses begin with a URL; their paths are relative to it."""

    def __init__(self, url: str) -> None:
        self.url = url
        if find_spec("obstore") is None:
            raise ConfigError(f"{url}: needs obstore: pip install -c constraints.txt -e '.[cloud]'")

    def __reduce__(self) -> tuple[Any, ...]:
        return Objects, (self.url,)  # other processes make a client of their own

    def get(self, path: str) -> Seen | None:
        """Return an object, or None if it is not there."""
        with self._explained(path):
            try:
                found = self._client.get(path)
                return Seen(bytes(found.bytes()), _tag(found.meta))
            except FileNotFoundError:
                return None

    def look(self, path: str) -> Listed | None:
        """Return what a list says of an object, or None if it is not there."""
        with self._explained(path):
            try:
                return _listed(self._client.head(path))
            except FileNotFoundError:
                return None

    def put(self, path: str, content: bytes | Path) -> None:
        """Write an object, or replace it: readers see all of it or what was there before."""
        with self._explained(path):
            try:
                self._client.put(path, content)
            except FileNotFoundError as error:
                raise StorageError(f"{self.url}: {NO_BUCKET}") from error

    def create(self, path: str, content: bytes) -> bool:
        """Write an object unless there is one; return whether this content is there now."""
        return self._put_if(path, content, "create")

    def swap(self, path: str, content: bytes, tag: str | None) -> bool:
        """Replace an object if it still has this tag; with None, create it.

        Returns whether this content is there now.
        """
        if tag is None:
            return self.create(path, content)
        e_tag, _, version = tag.partition(" ")
        known = {"e_tag": e_tag, "version": version} if version else {"e_tag": e_tag}
        return self._put_if(path, content, known)

    def _put_if(self, path: str, content: bytes, mode: Any) -> bool:
        from obstore.exceptions import AlreadyExistsError, GenericError, PreconditionError

        with self._explained(path):
            for attempt in range(CONFLICTS):
                try:
                    self._client.put(path, content, mode=mode)
                    return True
                except FileNotFoundError as error:
                    if mode == "create":
                        raise StorageError(f"{self.url}: {NO_BUCKET}") from error
                    return False
                except GenericError:
                    if attempt:
                        raise
                    # The client does not repeat this after a timeout. It may be done by now.
                except (AlreadyExistsError, PreconditionError):
                    # Refused, or done by a first attempt whose answer was lost.
                    there = self.get(path)
                    if there is not None:
                        return there.content == content
                    if mode != "create":
                        return False
            raise TimeoutError(errno.ETIMEDOUT, "others write it all the time")

    def fetch(self, path: str, to: Path | None = None) -> str:
        """Return the sha256 of an object's content; also write the content to a file, if given.

        Raises FileNotFoundError if it is not there.
        """
        digest = hashlib.sha256()
        with to.open("wb") if to else nullcontext() as file, self._explained(path):
            for chunk in self._client.get(path).stream(min_chunk_size=CHUNK):
                digest.update(chunk)
                if file is not None:
                    file.write(chunk)
        return digest.hexdigest()

    def list(self, under: str = "") -> Iterator[Listed]:
        """Yield the objects in a folder, and in folders inside it, in the order of their paths."""
        with self._explained(under):
            for batch in self._client.list(under or None):
                for meta in batch:
                    yield _listed(meta)

    def files(self) -> Sequence[Listed] | None:
        """Return the objects directly in the folder of the URL, without those in folders inside it.

        None if there is nothing at all.
        """
        with self._explained(""):
            found = self._client.list_with_delimiter()
        files = [_listed(meta) for meta in found["objects"]]
        return files if files or found["common_prefixes"] else None

    def remove(self, paths: Iterable[str]) -> None:
        """Delete objects; those that are not there are skipped."""
        from obstore.exceptions import GenericError

        for path in paths:
            with self._explained(path), suppress(FileNotFoundError):
                try:
                    self._client.delete(path)
                except GenericError:  # which the client does not repeat after a timeout
                    self._client.delete(path)

    def probe(self) -> datetime:
        """Return the storage's time; raise StorageError unless it does what results rely on.

        It must write, read and delete, and refuse to create an object that is there or to replace
        one that has changed.
        """
        path, content = f".probe/{uuid4().hex}", [uuid4().bytes for _ in range(4)]
        if not self.create(path, content[0]):
            raise self.unfit("an object could not be created")
        try:
            seen = self.get(path)
            if seen is None or seen.content != content[0]:
                raise self.unfit("an object was not there after it was written")
            if self.create(path, content[1]):
                raise self.unfit("it creates an object that is there (it ignores If-None-Match)")
            if not self.swap(path, content[2], seen.tag):
                raise self.unfit("it refuses to replace an object that has not changed (If-Match)")
            if self.swap(path, content[3], seen.tag):
                raise self.unfit("it replaces an object that has changed (it ignores If-Match)")
            return next(listed.when for listed in self.list(".probe") if listed.path == path)
        finally:
            self.remove([path])

    def place(self, path: str) -> str:
        """Return an object's URL."""
        return f"{self.url}/{path}" if path else self.url

    def unfit(self, why: str) -> StorageError:
        """Return the error for a storage that does not do what results rely on."""
        return StorageError(
            f"{self.url}: cannot be the storage: {why}. Use another object storage, or a shared "
            "disk: see docs/scale.md."
        )

    @cached_property
    def _client(self) -> Any:
        from obstore import store

        # A server on one's own network, where the endpoint says so.
        endpoint = os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT") or ""
        client = {**CLIENT, "allow_http": endpoint.startswith("http://")}
        options: dict[str, Any] = {"retry_config": RETRIES, "client_options": client}
        return store.from_url(self.url, **options)

    @contextmanager
    def _explained(self, path: str) -> Iterator[None]:
        """Turn what the client raises into a StorageError; FileNotFoundError passes."""
        from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

        try:
            yield
        except FileNotFoundError:
            raise
        except (PermissionDeniedError, UnauthenticatedError) as error:
            raise StorageError(f"{self.place(path)}: access denied. {RIGHTS}") from PermissionError(
                errno.EACCES, _short(error)
            )
        except TimeoutError as error:
            raise StorageError(f"{self.place(path)}: {error.strerror}. {LATER}") from error
        except BaseError as error:
            why, here = _short(error), self.place(path)
            if why.startswith(("3", "4")) and not why.startswith(PASSING):  # its status
                refused = f"{here}: the storage refuses the request ({why}). {RIGHTS}"
                raise StorageError(refused) from OSError(errno.EINVAL, why)
            silent = f"{here}: the storage does not answer ({why}). {LATER}"
            raise StorageError(silent) from TimeoutError(errno.ETIMEDOUT, why)


def _tag(meta: Any) -> str:
    # Google's storage compares versions, the others the ETag.
    return f"{meta['e_tag']} {meta.get('version') or ''}".rstrip()


def _listed(meta: Any) -> Listed:
    return Listed(meta["path"], meta["size"], _tag(meta), meta["last_modified"])


def _short(error: Exception) -> str:
    """Return a client's error in a few words; it has pages of details."""
    text = str(error).partition("\n\nDebug source")[0]
    status = re.search(r"status code: (\d+[\w ]*)", text)
    code = re.search(r"<Code>(\w+)</Code>", text)
    found = [match[1].strip() for match in (status, code) if match]
    return ", ".join(found) or " ".join(text.rpartition(" - ")[2].split())
