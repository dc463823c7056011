"""What names stand for across the modules of some packages, found without importing any."""

import ast
import importlib.util
import os
import posixpath
from collections.abc import Iterator, Sequence
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple, TypeAlias

from sentiment.errors import StageError
from tasks.fingerprint.modules import ALL, IDENTIFIER, Module, Statement, read_module
from tasks.fingerprint.references import Import
from tasks.fingerprint.syntax import Chain

_DYNAMIC_NAMES = frozenset({"globals", "eval", "exec", "__import__", "__builtins__"})
_DYNAMIC_OBJECTS = (
    "importlib.import_module", "importlib.__import__", "importlib.reload", "builtins.eval",
    "builtins.exec", "builtins.globals", "builtins.__import__", "sys.modules", "sys._getframe",
    "inspect.getmodule", "inspect.currentframe", "runpy", "pkgutil.resolve_name",
)  # fmt: skip
_WHOLE_ATTRIBUTES = frozenset({"__dict__", "__path__"})
_MODULE_ATTRIBUTES = frozenset({"__name__", "__file__", "__doc__", "__package__", "__spec__"})


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
        if not targets and not below and not circular and name not in _MODULE_ATTRIBUTES:
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
