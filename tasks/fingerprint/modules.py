"""What a source file defines, statement by statement, read from its text alone."""

import ast
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TypeAlias

from tasks.fingerprint.syntax import (
    COMPOUND,
    IMPORTS,
    Chain,
    bound_names,
    chains_in,
    digest_of,
    eager,
    has_logger,
    is_plain,
    prune,
    quoted_types,
)

WHOLE = "*"  # stands for a whole module
_FIELDS = {"Field": "pydantic", "operational": "sentiment.settings"}
CONDITIONS = "<module>"  # stands for a module's compound statements, such as ``if`` and ``try``


class Import(NamedTuple):
    """The object ``name`` of a module; the module itself if None, its public names if ``*``."""

    module: str
    name: str | None


class Statement:
    """One statement at module level, what it binds, and what it refers to."""

    def __init__(self, node: ast.stmt, package: str) -> None:
        self.node, self._package = node, package
        self.bound = frozenset(bound_names(node))
        self.eager = list(eager(node))  # what is evaluated when the module is imported

    @cached_property
    def digest(self) -> str:
        return digest_of([self.node])

    @cached_property
    def eager_chains(self) -> set[Chain]:
        return chains_in(self.eager)

    @cached_property
    def _nodes(self) -> list[ast.AST]:
        nodes = list(ast.walk(self.node))
        return [*nodes, *quoted_types(nodes)]

    @cached_property
    def chains(self) -> list[Chain]:
        """The names in it, with the attributes taken of them."""
        # An import in a class makes an attribute, which needs no name to be used.
        classes = (node for node in self._nodes if isinstance(node, ast.ClassDef))
        imports = (item for node in classes for item in node.body if isinstance(item, IMPORTS))
        members = {(name,) for item in imports for name in bound_names(item)}
        return sorted(chains_in(self._nodes) | members)

    @cached_property
    def imports(self) -> list[tuple[str, Import]]:
        """What the imports inside it bind, those in its functions too."""
        return list(imports_in(self._nodes, self._package))

    @cached_property
    def loads(self) -> list[str]:
        """The modules that its imports load, or may load."""
        return _loads_of(self._nodes, self._package)

    @cached_property
    def texts(self) -> frozenset[str]:
        constants = (node.value for node in self._nodes if isinstance(node, ast.Constant))
        return frozenset(value for value in constants if isinstance(value, str))

    @cached_property
    def words(self) -> frozenset[str]:
        """The texts, and the names of all attributes and keywords."""
        attributes = (node.attr for node in self._nodes if isinstance(node, ast.Attribute))
        keywords = (node.arg or "" for node in self._nodes if isinstance(node, ast.keyword))
        given = {name for name, *_ in self.chains}.union(keywords) - {"description"}
        return self.texts.union(attributes, given)

    @cached_property
    def data_file(self) -> str | None:
        """``a/b`` of a statement ``NAME = Path(__file__).parent / "a" / "b"``."""
        value = self.node.value if isinstance(self.node, ast.Assign) else None
        parts: list[str] = []
        while isinstance(value, ast.BinOp) and isinstance(value.op, ast.Div):
            if not (isinstance(value.right, ast.Constant) and isinstance(value.right.value, str)):
                return None
            parts.insert(0, value.right.value)
            value = value.left
        is_here = parts and value and ast.unparse(value) == "Path(__file__).parent"
        return "/".join(parts) if is_here else None


Binder: TypeAlias = Statement | Import


class Module:
    """A source file: its statements, and what binds each of its names, in order.

    ``file`` is its path relative to the folder that holds its top-level package. ``loads`` are the
    modules that importing it loads, besides its packages. A star import binds the name ``*``.
    """

    def __init__(self, name: str, file: str, source: bytes, is_package: bool) -> None:
        self.name, self.file, self.is_package = name, file, is_package
        self._source = source
        self.package = name if is_package else name.rpartition(".")[0]
        self.statements: list[Statement] = []
        self.binders: dict[str, list[Binder]] = {}
        self.loads: list[str] = []
        self._is_rebound = False
        tree = ast.parse(source, file)
        self._imported = dict(imports_in(tree.body, self.package))
        known = {name for name, module in _FIELDS.items() if self._means(name, module)}
        prune(tree, known | ({"log"} if has_logger(tree) else set()))
        self._tree = tree
        for node in tree.body:
            self._add(node)

    def _add(self, node: ast.stmt, loads: bool = True) -> None:
        test = ast.unparse(node.test) if isinstance(node, ast.If) and not node.orelse else ""
        if isinstance(node, ast.If) and test == "__name__ == '__main__'":
            return  # no import runs it
        if isinstance(node, ast.If) and test and self._is_type_checking(test):
            for inner in node.body:
                self._add(inner, loads=False)
            return
        statement = Statement(node, self.package)
        self.statements.append(statement)
        if not isinstance(node, IMPORTS):
            for name in sorted(statement.bound):
                self._bind(name, statement)
        for name, target in imports_in(statement.eager, self.package):
            self._bind(name, target, inside=not isinstance(node, IMPORTS))
        if loads:
            self.loads += _loads_of(statement.eager, self.package)

    def _bind(self, name: str, binder: Binder, inside: bool = False) -> None:
        binders = self.binders.setdefault(name, [])
        if binder not in binders:
            self._is_rebound |= bool(binders) and not inside
            binders.append(binder)

    def _means(self, name: str, module: str) -> bool:
        return self._imported.get(name) == Import(module, name)

    def _is_type_checking(self, test: str) -> bool:
        if test == "typing.TYPE_CHECKING":
            return self._imported.get("typing") == Import("typing", None)
        return test == "TYPE_CHECKING" and self._means(test, "typing")

    def statements_of(self, name: str) -> list[Statement]:
        """Return the statements that bind a name, all of them, or the compound ones."""
        if name == WHOLE:
            return self.statements
        if name == CONDITIONS:
            return [s for s in self.statements if isinstance(s.node, COMPOUND)]
        return [binder for binder in self.binders.get(name, ()) if isinstance(binder, Statement)]

    @cached_property
    def is_plain(self) -> bool:
        """Whether importing it only imports, defines and assigns names, each of them once."""
        has_global = b"global" in self._source and any(
            isinstance(node, ast.Global) for node in ast.walk(self._tree)
        )
        plain = all(is_plain(statement.eager) for statement in self.statements)
        return plain and not has_global and not self._is_rebound

    @cached_property
    def digest(self) -> str:
        """The sha256 of all of it, docstrings too, but for imports, whose order does not matter."""
        tree = ast.parse(self._source, self.file)
        return digest_of(node for node in tree.body if not isinstance(node, IMPORTS))

    @cached_property
    def imports(self) -> list[Import]:
        """What all its imports bind."""
        return [target for _, target in imports_in(ast.walk(self._tree), self.package)]


def imports_in(nodes: Iterable[ast.AST], package: str) -> Iterator[tuple[str, Import]]:
    """Yield the names that the imports among nodes bind, ``*`` for a star import."""
    for node in nodes:
        for alias in node.names if isinstance(node, IMPORTS) else ():
            if isinstance(node, ast.ImportFrom):
                parents = package.split(".")[: 1 - node.level or None] if node.level else []
                source = ".".join([*parents, *filter(None, [node.module])])
                yield alias.asname or alias.name, Import(source, alias.name)
            else:
                module = alias.name if alias.asname else alias.name.partition(".")[0]
                yield alias.asname or module, Import(module, None)


def _loads_of(nodes: Iterable[ast.AST], package: str) -> list[str]:
    """Return the modules that the imports among nodes load, or may load."""
    loads: list[str] = []
    for node in nodes:
        if isinstance(node, ast.Import):
            loads += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            loads += [f"{module}.{name}" for _, (module, name) in imports_in([node], package)]
    return loads


_CACHE: dict[tuple[str, Path], tuple[int, int, Module]] = {}


def read_module(name: str, path: Path, folder: Path) -> Module:
    """Parse a file, once as long as its time and size stay the same."""
    status = path.stat()
    cached = _CACHE.get((name, path))
    if cached and cached[:2] == (status.st_mtime_ns, status.st_size):
        return cached[2]
    file = path.relative_to(folder).as_posix()
    module = Module(name, file, path.read_bytes(), path.name == "__init__.py")
    _CACHE[name, path] = (status.st_mtime_ns, status.st_size, module)
    return module
