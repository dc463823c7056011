"""The small files beside the results, such as a champion's: in a folder, or in remote storage."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from tasks.store.atomic import point_to, write_atomically
from tasks.store.objects import Objects, Seen
from tasks.store.remote import at_once, paths_of

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class SmallFiles:
    """Small files under a root, by their paths.

    ``objects`` are those of remote storage, for which ``root`` is the cache; None for a folder.
    """

    def __init__(self, root: Path, objects: Objects | None) -> None:
        self.root, self.objects = root, objects

    def place(self, path: str = "") -> str:
        """Return where the store, or something in it, is: a full path or a URL."""
        if self.objects is not None:
            return self.objects.place(path)
        return str(self.root / path)

    def get(self, path: str) -> Seen | None:
        """Return the present content of a small file, such as a champion's, or None."""
        if self.objects is not None:
            return self.objects.get(path)
        try:
            return Seen((self.root / path).read_bytes(), "")
        except FileNotFoundError:
            return None

    def put(self, path: str, text: str) -> None:
        """Write a small file, or replace it in one step; raises StorageError."""
        write_atomically(self.root / path, text)
        if self.objects is not None:
            self.objects.put(path, text.encode())

    def share(self, path: str) -> None:
        """Put a small file of the cache into remote storage; in a folder it is there for all."""
        if self.objects is not None:
            self.objects.put(path, self.root / path)

    def here(self, path: str) -> Path:
        """Return a small file as one of this machine; it may not be there."""
        if self.objects is not None and (seen := self.objects.get(path)) is not None:
            write_atomically(self.root / path, seen.content.decode())
        return self.root / path

    def swap(self, path: str, text: str, seen: Seen | None) -> bool:
        """Replace a small file that is still as ``seen``; return whether it was.

        In a folder the caller has held ``record_lock`` since then, so that it is.
        """
        if self.objects is not None:
            return self.objects.swap(path, text.encode(), seen and seen.tag)
        write_atomically(self.root / path, text)
        return True

    def point(self, name: str, target: str) -> None:
        """Note which result a name such as ``models/latest`` is for; a link in a folder."""
        point_to(self.root, name, target)
        if self.objects is not None:
            self.objects.put(name, target.encode())

    def target(self, name: str) -> str | None:
        """Return the result that a name is for, or None."""
        if self.objects is not None:
            seen = self.objects.get(name)
            return seen and seen.content.decode()
        path = self.root / name
        return f"{path.resolve().parent.name}/{path.resolve().name}" if path.is_symlink() else None

    def newest(self, folder: str, name: str) -> Iterator[Seen]:
        """Yield the content of the files ``<folder>/*/<name>``, the last in order first."""
        if self.objects is not None:
            paths = paths_of(self.objects, folder, name)
        else:
            found = (self.root / folder).glob(f"*/{name}")
            paths = sorted(path.relative_to(self.root).as_posix() for path in found)

        def read(path: str) -> Seen | None:
            with suppress(OSError):
                return self.get(path)
            return None

        yield from (seen for seen in self._each(read, paths[::-1]) if seen is not None)

    def names(self, folder: str) -> list[str]:
        """Return the names of the files in a folder, in order."""
        if self.objects is not None:
            return [listed.path.rpartition("/")[2] for listed in self.objects.list(folder)]
        return sorted(path.name for path in (self.root / folder).glob("*"))

    def _each(self, function: Callable[[Item], Answer], items: Iterable[Item]) -> Iterable[Answer]:
        """Call a function for each item; in remote storage for some at once."""
        return map(function, items) if self.objects is None else at_once(function, items)
