"""What a statement refers to: names of its module, imports of its own, modules and files."""

import ast
from collections.abc import Iterator, Set
from dataclasses import dataclass
from typing import NamedTuple

from tasks.fingerprint.syntax import IMPORTS, Chain, chain_of, children, eager, walk

_LITERAL_CALLS = frozenset({"import_module", "__import__"})
_NAMES = (ast.Name, ast.Attribute)
_ANNOTATED = (ast.arg, ast.AnnAssign, ast.FunctionDef, ast.AsyncFunctionDef)
_TYPING_CALLS = frozenset({"cast", "TypeVar", "NewType", "ForwardRef"})


class Import(NamedTuple):
    """The object ``name`` of a module; the module itself if None, its public names if ``*``."""

    module: str
    name: str | None


@dataclass(frozen=True)
class References:
    """What a statement refers to.

    ``chains`` start with a name of the module's scope, or of ``imports``, which bind names inside
    functions and classes. ``paths`` are its string literals, those joined by ``/`` together.
    ``modules`` are imported by a call with a literal name. ``attributes`` are all attribute names.
    """

    chains: tuple[Chain, ...]
    imports: dict[str, tuple[Import, ...]]
    loads: tuple[Import, ...]
    paths: frozenset[Chain]
    modules: frozenset[str]
    attributes: frozenset[str]


def references_of(
    statement: ast.stmt, package: str, names: Set[str], importers: Set[str]
) -> References:
    """Return a statement's references.

    ``package`` is what its relative imports start from, ``names`` those that its scopes take from
    the module, ``importers`` those of them that mean ``importlib``, or a function of it.
    """
    return _Collector(package, names, importers).collect(statement)


def absolute(package: str, name: str, level: int) -> str:
    """Return the dotted name that a relative import means in a module of the package."""
    if not level:
        return name
    parts = package.split(".")
    parent = ".".join(parts[: len(parts) - level + 1])
    return f"{parent}.{name}" if name else parent


def imports_of(node: IMPORTS, package: str) -> Iterator[tuple[str, Import]]:
    """Yield the names that an import binds, ``*`` for a star import."""
    for alias in node.names:
        if isinstance(node, ast.ImportFrom):
            source = absolute(package, node.module or "", node.level)
            yield alias.asname or alias.name, Import(source, alias.name)
        elif alias.asname:
            yield alias.asname, Import(alias.name, None)
        else:
            top = alias.name.partition(".")[0]
            yield top, Import(top, None)


def loads_of(node: IMPORTS, package: str) -> list[Import]:
    """Return what an import loads: modules, and perhaps modules among their attributes."""
    if isinstance(node, ast.Import):
        return [Import(alias.name, None) for alias in node.names]
    return [target for _, target in imports_of(node, package)]


class _Collector:
    """Collects a statement's references; see ``references_of``."""

    def __init__(self, package: str, names: Set[str], importers: Set[str]) -> None:
        self._package, self._names, self._importers = package, names, importers
        self._chains: set[Chain] = set()
        self._paths: set[Chain] = set()
        self._modules: set[str] = set()
        self._attributes: set[str] = set()
        self._imports: dict[str, list[Import]] = {}

    def collect(self, statement: ast.stmt) -> References:
        loads: list[Import] = []
        for node in walk(statement):
            if isinstance(node, IMPORTS):
                for name, target in imports_of(node, self._package):
                    self._imports.setdefault(name, []).append(target)
                loads += loads_of(node, self._package)
            elif isinstance(node, ast.ClassDef):
                # An import in a class makes an attribute, which needs no name to be used.
                imports = (n for n in eager(node) if isinstance(n, IMPORTS))
                names = (name for n in imports for name, _ in imports_of(n, self._package))
                self._chains.update((name,) for name in names)
        is_alias = isinstance(statement, ast.AnnAssign) and "TypeAlias" in ast.dump(
            statement.annotation
        )
        self._visit(statement, annotation=is_alias)
        return References(
            tuple(sorted(self._chains)),
            {name: tuple(targets) for name, targets in self._imports.items()},
            tuple(loads),
            frozenset(self._paths),
            frozenset(self._modules),
            frozenset(self._attributes),
        )

    def _visit(self, node: ast.AST, annotation: bool = False) -> None:
        if isinstance(node, _NAMES):
            chain = chain_of(node)
            if chain:
                self._attributes.update(chain)
                known = chain[0] in self._names or chain[0].startswith("__")
                if annotation or known or chain[0] in self._imports:
                    self._chains.add(chain)
                return
            self._attributes.add(node.attr if isinstance(node, ast.Attribute) else node.id)
        elif isinstance(node, ast.Constant):
            if isinstance(node.value, str):
                self._visit_text(node.value, annotation)
            return
        elif isinstance(node, ast.BinOp):
            if self._visit_path(node):
                return
        elif isinstance(node, ast.Call):
            if self._visit_call(node):
                return
        elif isinstance(node, ast.Subscript):
            annotation = annotation and (chain_of(node.value) or ("",))[-1] != "Literal"
        types = (
            (getattr(node, "annotation", None), getattr(node, "returns", None))
            if isinstance(node, _ANNOTATED)
            else ()
        )
        for child in children(node):
            self._visit(child, annotation or child in types)

    def _visit_text(self, text: str, annotation: bool) -> None:
        self._paths.add((text,))
        self._attributes.add(text)  # getattr(x, "__doc__")
        if annotation:
            try:
                self._visit(ast.parse(text.strip(), mode="eval").body, annotation=True)
            except (SyntaxError, ValueError):
                return

    def _visit_path(self, node: ast.BinOp) -> bool:
        """Take the literals of ``x / "a" / "b"`` together."""
        parts: list[str] = []
        left: ast.expr = node
        while isinstance(left, ast.BinOp) and isinstance(left.op, ast.Div):
            part = left.right.value if isinstance(left.right, ast.Constant) else None
            if not isinstance(part, str):
                break
            parts.insert(0, part)
            left = left.left
        if parts:
            self._paths.add(tuple(parts))
            self._visit(left)
        return bool(parts)

    def _visit_call(self, node: ast.Call) -> bool:
        function = chain_of(node.func) or ("",)
        first = node.args[0] if node.args else None
        literal = first.value if isinstance(first, ast.Constant) else None
        rest = [*node.args[1:], *(keyword.value for keyword in node.keywords)]
        if function[-1] in _TYPING_CALLS:
            self._visit(node.func)
            for child in node.args[:1] + rest:
                self._visit(child, annotation=True)
        elif isinstance(literal, str) and self._imports_modules(function):
            name = literal.lstrip(".")
            self._modules.add(absolute(self._package, name, len(literal) - len(name)))
            for child in rest:
                self._visit(child)
        else:
            return False
        return True

    def _imports_modules(self, function: Chain) -> bool:
        """Whether a function is ``importlib.import_module`` or ``__import__``."""
        if function[-1] not in _LITERAL_CALLS:
            return False
        local = self._imports.get(function[0])
        if local is not None:
            return all(target.module == "importlib" for target in local)
        return function[0] in self._importers
