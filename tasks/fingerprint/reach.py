"""The code fingerprint of a stage: what its function is made of, over all project modules.

The rule: a definition (function, class, module-level variable) counts when the function reaches it,
by names, through any number of project modules. Its digest is that of its syntax tree, without
comments, docstrings and formatting, and of what the names in it stand for, so that an import of
another object under the same name counts too. Besides,

- what a module does on import, other than define (``torch.set_num_threads(1)``, loops, changes to
  objects from elsewhere), counts for every module that importing the stage's code loads;
- a definition that nothing names counts when a project-made decorator, call or base class hands it
  to something reached, as registries do;
- a module counts whole, with all that it reaches, when it is used as a value, has a
  ``__getattr__`` for the name asked for, or finds names at run time (``globals``, ``eval``,
  ``import_module(name)``);
- a file that is no Python counts when a literal in reached code names it, relative to the module's
  package; of a folder so named, every file does.

Limits: what ``import_module(name)`` with a computed name loads is not known; nor are compiled
extensions, folders outside the packages, file names put together at run time, and what a template
includes. The order of imports does not count, and docstrings do only when some reached code reads
``__doc__``. Another minor version of Python may give other digests.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from tasks.fingerprint.modules import ALL, DOC_READERS, EFFECTS, Module, Statement
from tasks.fingerprint.references import Import
from tasks.fingerprint.resolution import Node, Project, Target
from tasks.fingerprint.syntax import Chain, digest_nodes

ORDER = "<order>"  # stands for the order in which a module's reached statements run


@dataclass(frozen=True)
class Fingerprint:
    """What a function is made of.

    ``definitions`` maps ``<file>:<name>`` (the file relative to the folder that holds its package;
    ``*`` for a whole module, ``<module>`` for what it does on import) and data files to the start
    of their sha256; ``digest`` is the sha256 over all of them.
    """

    digest: str
    definitions: dict[str, str]


def fingerprint(function: str, packages: Sequence[str] = ("sentiment",)) -> Fingerprint:
    """Return the fingerprint of ``package.module:qualname``, without importing any of it.

    ``packages`` are the top-level packages whose code counts; of others only names do. Raises
    StageError when there is no such function, or when a file cannot be parsed.
    """
    project = Project(packages)
    reach = Reach(project)
    reach.extend(project.find(function))
    definitions = reach.definitions()
    text = "\n".join(f"{name} {digest}" for name, digest in definitions.items())
    return Fingerprint(_sha256([text]), definitions)


class Reach:
    """All that some definitions reach, found by following names until nothing new turns up."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._nodes: set[Node] = set()
        self._queue: list[Node] = []
        self._loaded: dict[str, Module] = {}

    def extend(self, nodes: Iterable[Target]) -> None:
        new = {node for node in nodes if isinstance(node, Node)} - self._nodes
        self._nodes |= new
        self._queue += new

    def definitions(self) -> dict[str, str]:
        """Follow all names and return the digests of what was reached, sorted by file and name."""
        while self._queue:
            while self._queue:
                self._follow(self._queue.pop())
            self.extend([node for node in self._unnamed() if self._is_handed_on(node)])
        docstrings = any(DOC_READERS & attributes for attributes in self._attributes())
        found: dict[str, str] = {}
        for node in self._nodes:
            module = self._loaded[node.module]
            statements = module.statements_of(node.name)
            if node.name != ALL and Node(node.module, ALL) in self._nodes:
                continue
            if node.name == ALL:
                texts = [digest_nodes(module.whole, docstrings)]
            else:
                texts = [statement.digest(docstrings) for statement in statements]
            if texts:
                meanings = self._project.meanings(node).items()
                texts += [f"{name}: {' '.join(map(_label, targets))}" for name, targets in meanings]
                found[f"{module.file}:{node.name}"] = _sha256(texts)[:16]
            for statement in statements:
                for parts in statement.references.paths:
                    for file, path in self._project.files_named(module, parts):
                        found[file] = _sha256([path.read_bytes()])[:16]
        for module in self._loaded.values():
            if Node(module.name, ALL) in self._nodes:
                continue
            order = [statement.digest(docstrings) for statement in self._ordered(module)]
            if len(order) > 1:
                found[f"{module.file}:{ORDER}"] = _sha256(order)[:16]
        return dict(sorted(found.items()))

    def _follow(self, node: Node) -> None:
        self._load(node.module)
        for targets in self._project.meanings(node).values():
            self.extend(targets)
        for statement in self._project.statements(node):
            for source in statement.references.loads:
                self._load_import(source)
            for dotted in statement.references.modules:
                self._load(dotted)

    def _load_import(self, source: Import) -> None:
        self._load(source.module)
        if source.name and source.name != ALL:
            self._load(f"{source.module}.{source.name}")

    def _load(self, dotted: str) -> None:
        """Take in what importing a module does: its packages' work, its own, and its imports'."""
        for name in accumulate(dotted.split("."), "{}.{}".format):
            module = self._project.module(name)
            if module and name not in self._loaded:
                self._loaded[name] = module
                if module.effects:
                    self.extend([Node(name, EFFECTS)])
                for source in module.loads:
                    self._load_import(source)

    def _has(self, node: Node) -> bool:
        return node in self._nodes or Node(node.module, ALL) in self._nodes

    def _attributes(self) -> Iterator[frozenset[str]]:
        for node in self._nodes:
            for statement in self._project.statements(node):
                yield statement.references.attributes

    def _unnamed(self) -> list[Node]:
        names = (Node(m.name, name) for m in self._loaded.values() for name in m.binders)
        return [node for node in names if node.name != ALL and not self._has(node)]

    def _is_handed_on(self, node: Node) -> bool:
        """Whether a definition that nothing names gives itself to something reached."""
        module = self._loaded[node.module]
        for statement in self._project.statements(node):
            for call in statement.calls:
                callees = self._nodes_of(module, call.function)
                if call.decorates and any(map(self._has, callees)):
                    return True
                for used in {n for chain in call.chains for n in self._nodes_of(module, chain)}:
                    if self._is_variable(used):
                        touched = frozenset({used}) if callees else frozenset()
                    else:
                        touched = self._project.closure(used)
                    if any(self._has(n) and self._holds_state(n) for n in touched):
                        return True
            for base in statement.bases:
                for ancestor in self._nodes_of(module, base):
                    if self._has(ancestor) and self._knows_subclasses(ancestor):
                        return True
        return False

    def _nodes_of(self, module: Module, chain: Chain) -> list[Node]:
        name, *rest = chain
        targets = self._project.lookup(module, name, tuple(rest))
        return [target for target in targets if isinstance(target, Node)]

    def _is_variable(self, node: Node) -> bool:
        return any(not statement.is_definition for statement in self._project.statements(node))

    def _holds_state(self, node: Node) -> bool:
        return any(statement.holds_state for statement in self._project.statements(node))

    def _knows_subclasses(self, node: Node) -> bool:
        if any("__subclasses__" in attributes for attributes in self._attributes()):
            return True
        return any(
            statement.makes_subclasses_known
            for ancestor in self._project.closure(node)
            for statement in self._project.statements(ancestor)
        )

    def _ordered(self, module: Module) -> list[Statement]:
        """Return the reached statements of a module whose order may matter."""
        names = [node.name for node in self._nodes if node.module == module.name]
        by_name = {name: module.statements_of(name) for name in names}
        rebound = {n for n, found in by_name.items() if len(found) > 1 and n not in (ALL, EFFECTS)}
        reached = {statement.index: statement for found in by_name.values() for statement in found}
        running = [
            statement
            for _, statement in sorted(reached.items())
            if statement.is_effect or statement.calls or rebound & statement.eager_names
        ]
        decisive = any(
            statement.is_effect
            or rebound & statement.eager_names
            or any(self._nodes_of(module, call.function) for call in statement.calls)
            for statement in running
        )
        return running if decisive else []


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
