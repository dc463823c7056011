"""The files of a package that are not Python, and which of them a text names."""

from fnmatch import fnmatchcase
from pathlib import Path

CACHE = "__pycache__"


def data_files(root: Path) -> dict[str, Path]:
    """Return a package's data files, by their path from the folder that holds the package.

    What Python and editors leave beside the sources is not among them: ``__pycache__``, where even
    the names change while a module is compiled, hidden files and backups.
    """
    return {
        path.relative_to(root.parent).as_posix(): path
        for path in sorted(root.rglob("*"))
        if not any(part.startswith((".", CACHE)) for part in path.relative_to(root).parts)
        and not path.name.endswith((".py", ".pyc", "~"))
        and path.is_file()
    }


def files_named(text: str, files: dict[str, Path]) -> dict[str, Path]:
    """Return the files that a text names, by their name, one of their folders or a pattern."""
    found, pieces = {}, text.split("/")
    for name, path in files.items():
        _, *parts = name.split("/")
        if path.name in text or any(fnmatchcase(part, each) for part in parts for each in pieces):
            found[name] = path
    return found


def with_included(found: dict[str, Path], files: dict[str, Path]) -> dict[str, Path]:
    """Add the files whose names are in those found, as a template names those that it includes."""
    found, unread = dict(found), list(found)
    while unread:
        content = found[unread.pop()].read_bytes()
        more = {n: p for n, p in files.items() if n not in found and p.name.encode() in content}
        found |= more
        unread += more
    return found
