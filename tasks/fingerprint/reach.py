"""The code fingerprint of a stage: hashes of everything that its function is made of.

A definition (function, class or module-level variable) counts when the function reaches it through
names, over any number of modules. Its hash covers its syntax tree and what its names stand for.
Names are followed one by one through *plain* modules. Importing one of these only imports, defines,
and assigns each name once, and calls only what ``plain.py`` lists as safe. Besides:

- Any other module counts whole once it is loaded, with all that it refers to. So does a module that
  evaluates something of it on import, such as a base class or a decorator.
- A module used as a value counts whole, and so does one whose ``__getattr__`` may give a name.
- A plain module's ``if`` and ``try`` statements count once it is loaded, except
  ``if TYPE_CHECKING`` and ``if __name__ == "__main__"``.
- A data file counts when a text in reached code names it, its folder or a pattern for it, or when
  a data file that counts contains its name.
- All files count when reached code may find code or data at run time (``eval``, ``importlib``,
  ``subprocess`` ...), or may read docstrings or descriptions. ``__file__`` is harmless only in
  ``NAME = Path(__file__).parent / "a.txt"`` where all other code uses ``NAME.read_text()``.

Where a module does not count whole, its comments, layout, docstrings, descriptions of settings and
log messages do not count, nor do ``operational`` settings. Texts of errors do, as code may catch an
error and keep its text.

Not seen: compiled extensions, ``__pycache__``, hidden files and backups, files outside the
packages, file names put together at run time, environment variables, the time zone, and the order
of a plain module's statements.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from tasks.fingerprint.modules import CONDITIONS, WHOLE
from tasks.fingerprint.plain import sources_of
from tasks.fingerprint.resolution import Node, Project, Target


@dataclass(frozen=True)
class Fingerprint:
    """What a function is made of.

    ``definitions`` maps data files and ``<file>:<name>`` (``*`` for a whole module, ``<module>``
    for its conditions) to the start of their sha256. ``digest`` covers all of them.
    """

    digest: str
    definitions: dict[str, str]


def fingerprint(function: str, packages: Sequence[str] = ("sentiment",)) -> Fingerprint:
    """Return the fingerprint of ``package.module:name``, without importing any of it.

    ``packages`` are the top-level packages whose code counts; of others only names do. Raises
    StageError when there is no such function, or when a file cannot be parsed.
    """
    reach = Reach(Project(packages))
    reach.follow(function)
    definitions = reach.definitions()
    return Fingerprint(_sha256(definitions), definitions)


class Reach:
    """All that some definitions reach, found by following names until nothing new turns up."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._meanings: dict[Node, list[tuple[str, tuple[Target, ...]]]] = {}
        self._queue: list[Node] = []
        self._sources: dict[str, set[str]] = {}  # of the modules loaded

    def follow(self, function: str) -> None:
        """Follow all names from a function on."""
        self._extend(self._project.find(function))
        while self._queue:
            node = self._queue.pop()
            self._load(node.module)
            for _, targets in self._meanings[node]:
                self._extend(targets)
            for statement in self._project.statements(node):
                for dotted in statement.loads:
                    self._load(dotted)
            if not self._queue:
                self._take_whole_modules()

    def _extend(self, targets: Iterable[Target]) -> None:
        for target in targets:
            if isinstance(target, Node) and target not in self._meanings:
                self._meanings[target] = sorted(set(self._project.meanings(target)), key=repr)
                self._queue.append(target)

    def _load(self, dotted: str) -> None:
        """Note what importing a module runs: its packages, itself, and its imports."""
        for name in accumulate(dotted.split("."), "{}.{}".format):
            module = self._project.module(name)
            if module and name not in self._sources:
                self._sources[name] = sources_of(self._project, module)
                self._extend([Node(name, CONDITIONS)])
                for source in module.loads:
                    self._load(source)

    def _take_whole_modules(self) -> None:
        """Take the modules that are not plain, and those that evaluate something of such a one."""
        whole: set[str] = set()
        while more := {n for n, found in self._sources.items() if found & {n, *whole}} - whole:
            whole |= more
        self._extend(Node(name, WHOLE) for name in sorted(whole))

    def definitions(self) -> dict[str, str]:
        """Return the hashes of all that was reached, sorted by file and name."""
        found: dict[str, str] = {}
        files: dict[str, Path] = {}
        for node, meanings in self._meanings.items():
            files |= self._project.files_of(node)
            module, statements = self._project.module(node.module), self._project.statements(node)
            if module and node.name == WHOLE and module.source:
                found[f"{module.file}:*"] = _sha256(module.source, meanings)[:16]
            elif module and statements and Node(module.name, WHOLE) not in self._meanings:
                dumps = [statement.dump for statement in statements]
                found[f"{module.file}:{node.name}"] = _sha256(dumps, meanings)[:16]
        found |= {name: _sha256(path.read_bytes())[:16] for name, path in files.items()}
        return dict(sorted(found.items()))


def _sha256(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()
