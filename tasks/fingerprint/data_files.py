"""The files of a package that are not Python, and which of them a text in the code names."""

import os
import posixpath
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path


class DataFiles:
    """The files of one top-level package, by their path from the folder that holds it."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @cached_property
    def all(self) -> dict[str, Path]:
        return {
            path.relative_to(self._root.parent).as_posix(): path
            for folder, _, files in os.walk(self._root)
            for path in (Path(folder, file) for file in files)
            if path.suffix not in (".py", ".pyc")
        }

    def named(self, text: str, file: str) -> Iterator[tuple[str, Path]]:
        """Yield the files that a text in a module's file may name, and those in folders so named.

        The text may be the end of their path, or a pattern for it.
        """
        if not text or len(text) > 200 or "\n" in text or "\0" in text:
            return
        end = posixpath.normpath(text.lstrip("/"))
        if ".." in text:
            end = posixpath.normpath(f"{posixpath.dirname(file)}/{text}")
            path = self._root.parent / end
            if path.is_file() and path.suffix != ".py":
                yield end, path
        folder = f"/{end}/" if end not in (".", self._root.name) else "\n"
        is_pattern = any(sign in end for sign in "*?[")
        for name, path in self.all.items():
            inside = f"/{name}"
            if (
                inside.endswith(f"/{end}")
                or folder in inside
                or (is_pattern and fnmatchcase(inside, f"*/{end}"))
            ):
                yield name, path

    def included(self, path: Path) -> Iterator[tuple[str, Path]]:
        """Yield the files whose names stand in a file, as a template includes others."""
        content = path.read_bytes()
        for name, other in self.all.items():
            if other != path and other.name.encode() in content:
                yield name, other
