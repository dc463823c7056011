"""The code fingerprint of a stage: what its function is made of, over all project modules.

A definition (function, class, module-level variable) counts when the function reaches it by names,
through any number of modules. Its digest is that of its syntax tree, and of what the names in it
stand for, so an import of another object under the same name counts too.

Names are followed one by one through *plain* modules: those that only import, define and assign
when they are imported, each name once, and call nothing but what is known to make a value and do no
more (``plain.py`` has the list). Besides,

- any other module counts whole, with all that it refers to, once the stage's code loads it. So does
  a module that evaluates something of such a module on import, as a decorator or a base class;
- so does a module that is used as a value, or has a ``__getattr__`` and gives a name;
- a plain module's ``if``, ``try`` and ``with`` count once it is loaded, but for
  ``if TYPE_CHECKING``, whose names are followed as any, and ``if __name__ == "__main__"``;
- all files of the package count when reached code finds code at run time (``eval``, ``globals``,
  ``sys.modules``, ``import_module``, ``inspect``, ``f.__globals__``, another process ...), or reads
  docstrings or descriptions;
- a file that is not Python counts when a text in reached code may name it, and all of them do when
  reached code computes a name from ``__file__`` or asks for resources.

What people read does not count: comments, layout, docstrings, the descriptions of settings and the
texts of a module's ``log``. Nor do ``operational`` settings, which by contract shape no byte. The
texts of errors do count, as code may catch an error and keep its text.

Limits: not seen are compiled extensions, folders outside the packages, files named neither by a
text nor from ``__file__``, files that a template includes by a computed name, environment variables
and the time zone. The order of a plain module's
statements does not count. Another minor version of Python may give other digests.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from tasks.fingerprint.modules import CONDITIONS, WHOLE, Module
from tasks.fingerprint.plain import sources_of
from tasks.fingerprint.resolution import EVERYTHING, FILES, Node, Project, Target


@dataclass(frozen=True)
class Fingerprint:
    """What a function is made of.

    ``definitions`` maps ``<file>:<name>`` (the file relative to the folder that holds its package;
    ``*`` for a whole module, ``<module>`` for its conditional definitions) and data files to the
    start of their sha256; ``digest`` is the sha256 over all of them.
    """

    digest: str
    definitions: dict[str, str]


def fingerprint(function: str, packages: Sequence[str] = ("sentiment",)) -> Fingerprint:
    """Return the fingerprint of ``package.module:name``, without importing any of it.

    ``packages`` are the top-level packages whose code counts; of others only names do. Raises
    StageError when there is no such function, or when a file cannot be parsed.
    """
    project = Project(packages)
    reach = Reach(project)
    reach.extend(project.find(function))
    reach.follow()
    definitions = reach.definitions()
    text = "\n".join(f"{name} {digest}" for name, digest in definitions.items())
    return Fingerprint(_sha256([text]), definitions)


class Reach:
    """All that some definitions reach, found by following names until nothing new turns up."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._meanings: dict[Node, dict[str, tuple[Target, ...]]] = {}
        self._queue: list[Node] = []
        self._loaded: dict[str, Module] = {}
        self._sources: dict[str, frozenset[str]] = {}

    def extend(self, targets: Iterable[Target]) -> None:
        for target in targets:
            if target == EVERYTHING and target not in self._meanings:
                self._meanings[EVERYTHING] = {}
                self.extend(self._project.everything())
            elif isinstance(target, Node) and target not in self._meanings:
                self._meanings[target] = self._project.meanings(target)
                self._queue.append(target)

    def follow(self) -> None:
        """Follow all names."""
        while self._queue:
            node = self._queue.pop()
            if node.name != FILES:
                self._load(node.module)
            for targets in self._meanings[node].values():
                self.extend(targets)
            for statement in self._project.statements(node):
                for dotted in statement.loads:
                    self._load(dotted)
            if not self._queue:
                self._find_odd_modules()

    def _load(self, dotted: str) -> None:
        """Take in what importing a module runs: its packages, itself, and its imports."""
        for name in accumulate(dotted.split("."), "{}.{}".format):
            module = self._project.module(name)
            if module and name not in self._loaded:
                self._loaded[name] = module
                if module.statements_of(CONDITIONS):
                    self.extend([Node(name, CONDITIONS)])
                for source in module.loads:
                    self._load(source)

    def _find_odd_modules(self) -> None:
        """Take loaded modules whole that are not plain, or take something from such a one."""
        for name, module in self._loaded.items():
            if name not in self._sources:
                self._sources[name] = sources_of(self._project, module)
        odd: set[str] = set()
        while more := {n for n, found in self._sources.items() if found & {n, *odd}} - odd:
            odd |= more
        self.extend(Node(name, WHOLE) for name in sorted(odd))

    def definitions(self) -> dict[str, str]:
        """Return the digests of all that was reached, sorted by file and name."""
        found: dict[str, str] = {}
        files: dict[str, Path] = {}
        for node, meanings in self._meanings.items():
            module, statements = self._project.module(node.module), self._project.statements(node)
            if node.name == FILES:
                files |= self._project.data_files[node.module].all
            for statement in statements:
                files |= self._project.files_of(statement, node.module)
            if node.name != WHOLE and Node(node.module, WHOLE) in self._meanings:
                continue
            if module and statements:
                whole = [module.digest] if node.name == WHOLE else []
                texts = whole or [statement.digest for statement in statements]
                texts += [
                    f"{name}: {' '.join(map(_label, targets))}"
                    for name, targets in meanings.items()
                ]
                found[f"{module.file}:{node.name}"] = _sha256(texts)[:16]
        found |= {name: _sha256([path.read_bytes()])[:16] for name, path in files.items()}
        return dict(sorted(found.items()))


def _label(target: Target) -> str:
    return target if isinstance(target, str) else f"{target.module}:{target.name}"


def _sha256(parts: Iterable[str | bytes]) -> str:
    """Return the sha256 of texts, each kept apart from the next."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        digest.update(b"%d:" % len(content))
        digest.update(content)
    return digest.hexdigest()
