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

Limits: what ``import_module(name)`` with a computed name loads is not known; nor are files outside
the packages, file names put together at run time, and what a template includes. The order of
imports does not count, and docstrings do only when some reached code reads ``__doc__``.
"""

import ast
import hashlib
import importlib.util
import os
import posixpath
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple, TypeAlias

from sentiment.errors import StageError
from tasks.references import (
    ALL,
    DOC_READERS,
    EFFECTS,
    IDENTIFIER,
    Chain,
    Import,
    Module,
    Statement,
    digest_nodes,
    read_module,
)

ORDER = "<order>"  # stands for the order in which a module's reached statements run
_DYNAMIC_NAMES = frozenset({"globals", "eval", "exec", "__import__", "__builtins__"})
_DYNAMIC_OBJECTS = (
    "importlib.import_module", "importlib.__import__", "importlib.reload", "builtins.eval",
    "builtins.exec", "builtins.globals", "builtins.__import__", "sys.modules", "sys._getframe",
    "inspect.getmodule", "inspect.currentframe", "runpy", "pkgutil.resolve_name",
)  # fmt: skip
_WHOLE_ATTRIBUTES = frozenset({"__dict__", "__path__"})
_MODULE_ATTRIBUTES = frozenset({"__name__", "__file__", "__doc__", "__package__", "__spec__"})


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


class Node(NamedTuple):
    """A name in a module; or ``*``, the whole module; or ``<module>``, its work on import."""

    module: str
    name: str


Target: TypeAlias = "Node | str"  # a project definition, or the dotted name of something else


class Project:
    """The modules of some packages, and what names in them stand for."""

    def __init__(self, packages: Sequence[str]) -> None:
        self._roots = {package: _locate(package) for package in packages}
        self._modules: dict[str, Module | None] = {}
        self._meanings: dict[Node, dict[str, tuple[Target, ...]]] = {}
        self._closures: dict[Node, frozenset[Node]] = {}

    def find(self, function: str) -> list[Node]:
        """Return the definitions behind ``package.module:qualname``; raises StageError."""
        dotted, _, qualname = function.partition(":")
        module = self.module(dotted)
        if module is None:
            raise StageError(
                f"{function}: there is no module {dotted!r} in {', '.join(self._roots)}. "
                "Name the function as package.module:function."
            )
        name, *rest = qualname.split(".")
        nodes = [target for target in self.lookup(module, name) if isinstance(target, Node)]
        if not any(self._has_members(node, rest) for node in nodes):
            raise StageError(
                f"{function}: {module.file} defines no {qualname or 'function without a name'}. "
                "Name the function as package.module:function."
            )
        return nodes

    def _has_members(self, node: Node, names: Sequence[str]) -> bool:
        scopes: list[ast.AST] = [statement.node for statement in self.statements(node)]
        for name in names:
            inner = [child for scope in scopes for child in ast.walk(scope)]
            inherits = any(isinstance(scope, ast.ClassDef) and scope.bases for scope in scopes)
            scopes = [child for child in inner if getattr(child, "name", None) == name]
            if inherits and not scopes:
                return True
        return bool(scopes)

    def module(self, dotted: str) -> Module | None:
        """Return a module of the packages, None if there is none of this name."""
        if dotted not in self._modules:
            self._modules[dotted] = self._read(dotted)
        return self._modules[dotted]

    def _read(self, dotted: str) -> Module | None:
        top, *parts = dotted.split(".")
        if top not in self._roots or not all(part.isidentifier() for part in parts):
            return None
        root = self._roots[top]
        path = root.joinpath(*parts)
        folder = root.parent
        try:
            if not parts and root.suffix == ".py":
                return read_module(dotted, root, folder, is_package=False)
            if (path / "__init__.py").is_file():
                return read_module(dotted, path / "__init__.py", folder, is_package=True)
            if path.with_name(f"{path.name}.py").is_file():
                return read_module(dotted, path.with_name(f"{path.name}.py"), folder, False)
        except (SyntaxError, ValueError, OSError) as error:
            raise StageError(f"{dotted}: its source cannot be read: {error}") from error
        file = (path / "__init__.py").relative_to(folder).as_posix()
        return Module(dotted, file, b"", is_package=True) if path.is_dir() else None

    def statements(self, node: Node) -> list[Statement]:
        module = self.module(node.module)
        return module.statements_of(node.name) if module else []

    def lookup(
        self, module: Module, name: str, rest: Chain = (), seen: frozenset[object] = frozenset()
    ) -> list[Target]:
        """Return all that ``name.rest`` may stand for in a module, in the order of binding."""
        step = (module.name, name, rest)
        if step in seen or not name:
            return []
        seen |= {step}
        targets: list[Target] = []
        stars = module.binders.get(ALL, []) if name != ALL else []
        binders = sorted([*module.binders.get(name, []), *stars], key=itemgetter(0))
        for _, binder in binders:
            if isinstance(binder, Statement):
                targets.append(Node(module.name, name))
            elif binder.name == ALL:
                targets += self._through_star(binder.module, name, rest, seen)
            elif binder.name is None:
                targets += self.attribute(binder.module, rest, seen)
            else:
                targets += self.attribute(binder.module, (binder.name, *rest), seen)
        return list(dict.fromkeys(targets))

    def _through_star(
        self, dotted: str, name: str, rest: Chain, seen: frozenset[object]
    ) -> list[Target]:
        source = self.module(dotted)
        if source is None:
            return [f"{dotted}.*"]
        if "__all__" not in source.binders:
            return [] if name.startswith("_") else self.lookup(source, name, rest, seen)
        if source.exported is None:
            found = self.lookup(source, name, rest, seen)
            return [*found, Node(dotted, "__all__")] if found else []
        return self.attribute(dotted, (name, *rest), seen) if name in source.exported else []

    def attribute(
        self, dotted: str, chain: Chain, seen: frozenset[object] = frozenset()
    ) -> list[Target]:
        """Return all that ``chain`` may stand for as attributes of a module."""
        module = self.module(dotted)
        if module is None:
            return [".".join([dotted, *chain])]
        if not chain or chain[0] in _WHOLE_ATTRIBUTES:
            return list(self.whole(dotted))
        name, *rest = chain
        if (dotted, *chain) in seen:
            return []
        targets = self.lookup(module, name, tuple(rest), seen)
        circular = (dotted, name, tuple(rest)) in seen
        below = module.is_package and self.module(f"{dotted}.{name}")
        if below:
            targets += self.attribute(below.name, tuple(rest), seen | {(dotted, *chain)})
        if "__getattr__" in module.binders and name not in module.bound_on_import:
            # Of modules below, it is taken to provide those only that the text names.
            targets += [Node(dotted, ALL)] if not below or name in module.literals else []
        if not targets and not circular and name not in _MODULE_ATTRIBUTES:
            targets.append(Node(dotted, ALL))
        return targets

    def whole(self, dotted: str) -> Iterator[Node]:
        """Yield a module as a whole, with the modules below it that its attributes may be."""
        yield Node(dotted, ALL)
        top, *parts = dotted.split(".")
        module = self.module(dotted)
        if module and module.is_package:
            for path in sorted(self._roots[top].joinpath(*parts).iterdir()):
                is_source = path.suffix == ".py" or (path / "__init__.py").is_file()
                if is_source and self.module(f"{dotted}.{path.stem}"):
                    yield from self.whole(f"{dotted}.{path.stem}")

    def meanings(self, node: Node) -> dict[str, tuple[Target, ...]]:
        """Return what each name in a definition stands for, but for builtins and local names."""
        if node not in self._meanings:
            module = self.module(node.module)
            found: dict[str, tuple[Target, ...]] = {}
            if module:
                for label, targets in self._meanings_in(module, node):
                    if targets:
                        found[label] = tuple(dict.fromkeys((*found.get(label, ()), *targets)))
            self._meanings[node] = dict(sorted(found.items()))
        return self._meanings[node]

    def _meanings_in(self, module: Module, node: Node) -> Iterator[tuple[str, list[Target]]]:
        whole = Node(module.name, ALL)
        for statement in module.statements_of(node.name):
            references = statement.references
            for chain in references.chains:
                name, *rest = chain
                targets: list[Target] = []
                for source, attribute in references.imports.get(name, ()):
                    first = (attribute,) if attribute else ()
                    targets += self.attribute(source, (*first, *rest))
                targets += self.lookup(module, name, tuple(rest))
                if name in _DYNAMIC_NAMES or any(map(_is_dynamic, targets)):
                    targets.append(whole)
                if name == "__path__":
                    targets += self.whole(module.name)
                yield ".".join(chain), targets
            if statement.reads_namespace:
                yield "locals", [whole]
            for dotted in references.modules:
                yield dotted, self.attribute(dotted, ())
            for text in (path[0] for path in references.paths if len(path) == 1):
                if text.partition(".")[0] in self._roots and IDENTIFIER.fullmatch(text):
                    yield text, self._named(text)
        if node.name == ALL:
            for name, binders in module.binders.items():
                for _, binder in binders:
                    if isinstance(binder, Import) and binder.name == ALL:
                        yield ALL, [Node(binder.module, ALL)] if self.module(binder.module) else []
                if name != ALL:
                    # A module among them counts by what of it is used.
                    yield name, [t for t in self.lookup(module, name) if _is_definition(t)]

    def _named(self, text: str) -> list[Target]:
        """Return what ``package.module``, ``package.module:name`` in a string stands for."""
        dotted, _, name = text.partition(":")
        rest = name.split(".") if name else []
        while "." in dotted or (dotted and name):
            module = self.module(dotted)
            if module and rest:
                return self.lookup(module, rest[0], tuple(rest[1:]))
            if module:
                return list(self.whole(dotted))
            dotted, _, last = dotted.rpartition(".")
            rest.insert(0, last)
        return []

    def closure(self, node: Node) -> frozenset[Node]:
        """Return a definition and all that it reaches by names."""
        if node not in self._closures:
            found = {node}
            queue = [node]
            while queue:
                for targets in self.meanings(queue.pop()).values():
                    new = {target for target in targets if isinstance(target, Node)} - found
                    found |= new
                    queue += new
            self._closures[node] = frozenset(found)
        return self._closures[node]

    def files_named(self, module: Module, parts: Chain) -> Iterator[tuple[str, Path]]:
        """Yield the data files that a literal names, relative to a module's folder or package."""
        text = "/".join(parts)
        if not text or len(text) > 200 or "\n" in text or "\0" in text or text.startswith("/"):
            return
        top = module.name.partition(".")[0]
        folder = self._roots[top].parent
        base = posixpath.dirname(module.file)
        while base:
            name = posixpath.normpath(f"{base}/{text}")
            if name.startswith(f"{top}/"):
                for file, path in self._data_files.get(top, {}).items():
                    inside = file.startswith(f"{name}/") and not base.startswith(name)
                    if file == name or inside:
                        yield file, path
            elif name.endswith(".py"):
                return
            elif ".." in text and (folder / name).is_file():
                yield name, folder / name
            base = posixpath.dirname(base)

    @cached_property
    def _data_files(self) -> dict[str, dict[str, Path]]:
        return {
            top: {path.relative_to(root.parent).as_posix(): path for path in _data_files(root)}
            for top, root in self._roots.items()
            if root.is_dir()
        }


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


def _locate(package: str) -> Path:
    """Return a top-level package's folder, or the file of a top-level module."""
    try:
        spec = importlib.util.find_spec(package)  # imports nothing: there is no dot in the name
    except (ImportError, ValueError):
        spec = None
    if spec and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    if spec and spec.origin and spec.origin.endswith(".py"):
        return Path(spec.origin)
    raise StageError(f"{package}: no source of a package of this name. Is the project installed?")


def _data_files(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(set(folders) - {"__pycache__"})
        for file in sorted(files):
            if not file.endswith((".py", ".pyc")):
                yield Path(folder, file)


def _is_dynamic(target: Target) -> bool:
    if isinstance(target, Node):
        return False
    return any(f"{target}.".startswith(f"{name}.") for name in _DYNAMIC_OBJECTS)


def _is_definition(target: Target) -> bool:
    return not isinstance(target, Node) or target.name != ALL


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
