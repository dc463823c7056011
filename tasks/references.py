"""What a source file defines, and what each definition refers to, read from its text alone.

A module is cut into its statements at module level. A compound one (``if``, ``try``, ``with`` ...)
stays one piece, as its condition decides what its names mean. Two kinds are opened:
``if TYPE_CHECKING``, whose imports serve annotations, and ``if __name__ == "__main__"``, whose body
no import runs.
"""

import ast
import hashlib
import re
import symtable
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TypeAlias

Chain: TypeAlias = tuple[str, ...]  # a.b.c as ("a", "b", "c")

ALL = "*"  # stands for a whole module, and for a star import
EFFECTS = "<module>"  # stands for what a module does when it is imported, besides defining
DOC_READERS = frozenset({"__doc__", "getdoc"})
_LITERAL_CALLS = frozenset({"import_module", "__import__"})
_NAMESPACES = frozenset({("vars",), ("locals",), ("dir",)})
_TYPING_CALLS = frozenset({"cast", "TypeVar", "NewType", "ForwardRef"})
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_UNION_FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
_OPEN = (ast.If, ast.Try, ast.TryStar, ast.With, ast.Match, ast.match_case, ast.ExceptHandler)
_DEFINING = (ast.ClassDef, ast.Import, ast.ImportFrom, ast.Pass, ast.Global, *_FUNCTIONS)
_FRESH = (ast.Dict, ast.List, ast.Set, ast.Tuple, ast.Constant, ast.JoinedStr)
_FRESH_RUN = (ast.DictComp, ast.ListComp, ast.SetComp)
_UNUSED_FIELDS = frozenset({"ctx", "kind", "type_comment", "simple"})


class Import(NamedTuple):
    """The object ``name`` of a module; the module itself if None, its public names if ``*``."""

    module: str
    name: str | None


class EagerCall(NamedTuple):
    """A call that runs on import: of what, with what, and whether it decorates a definition."""

    function: Chain
    chains: frozenset[Chain]
    decorates: bool


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


class Statement:
    """One statement at module level, and the names that it binds, deletes or mutates."""

    def __init__(self, node: ast.stmt, index: int, module: "Module") -> None:
        self.node, self.index = node, index
        self._module = module
        self.bound = tuple(dict.fromkeys(_bound(node)))
        self.mutated = tuple(dict.fromkeys(_mutated(node)))
        self.is_effect = False
        self._digests: dict[bool, str] = {}

    def digest(self, docstrings: bool) -> str:
        """Return the sha256 of the statement's normalised AST."""
        if docstrings not in self._digests:
            self._digests[docstrings] = digest_nodes([self.node], docstrings)
        return self._digests[docstrings]

    @cached_property
    def references(self) -> References:
        names = self._module.global_names(self.node)
        names |= self.eager_names
        return _Collector(self._module, names).collect(self.node)

    @cached_property
    def eager_names(self) -> frozenset[str]:
        """The names read or bound when the statement runs."""
        names = {node.id for node in eager(self.node) if isinstance(node, ast.Name)}
        return frozenset({*names, *self.bound, *self.mutated})

    @cached_property
    def reads_namespace(self) -> bool:
        """Whether the statement takes all names of the module: ``vars()`` outside functions."""
        return any(
            isinstance(node, ast.Call) and not node.args and chain_of(node.func) in _NAMESPACES
            for node in eager(self.node)
        )

    @property
    def is_definition(self) -> bool:
        """Whether the statement makes a function or a class."""
        return isinstance(self.node, ast.ClassDef | _UNION_FUNCTIONS)

    @cached_property
    def bases(self) -> tuple[Chain, ...]:
        """The base classes of all classes in the statement that exist after an import."""
        classes = [node for node in eager(self.node) if isinstance(node, ast.ClassDef)]
        found = (chain_of(base) for node in classes for base in node.bases)
        return tuple(chain for chain in found if chain)

    @cached_property
    def makes_subclasses_known(self) -> bool:
        """Whether the statement has a class that may take note of its subclasses."""
        return any(
            (isinstance(node, _FUNCTIONS) and node.name == "__init_subclass__")
            or (
                isinstance(node, ast.keyword)
                and node.arg == "metaclass"
                and (chain_of(node.value) or ("",))[-1] != "ABCMeta"
            )
            for node in eager(self.node)
        )

    @cached_property
    def holds_state(self) -> bool:
        """Whether the statement makes an object that other code may fill."""
        if isinstance(self.node, ast.ClassDef):
            # Annotated values of a dataclass or a pydantic model are defaults of its instances.
            plain = not self.node.bases and not self.node.decorator_list
            return any(
                isinstance(item, ast.Assign | ast.AnnAssign)
                and not isinstance(item.value, ast.Constant | None)
                and "model_config" not in _bound(item)  # pydantic's own
                and (plain or isinstance(item, ast.Assign) or "ClassVar" in ast.dump(item))
                for item in self.node.body
            )
        if isinstance(self.node, ast.Assign | ast.AnnAssign):
            return not isinstance(self.node.value, ast.Constant | None)
        return not isinstance(self.node, _DEFINING)

    @cached_property
    def calls(self) -> tuple[EagerCall, ...]:
        """The calls that run on import and start with a name."""
        decorators = {
            decorator
            for node in eager(self.node)
            if isinstance(node, ast.ClassDef | _UNION_FUNCTIONS)
            for decorator in node.decorator_list
        }
        calls = []
        for node in [*decorators, *(n for n in eager(self.node) if isinstance(n, ast.Call))]:
            called = node.func if isinstance(node, ast.Call) else node
            function = next(filter(None, map(chain_of, ast.walk(called))), None)
            if function:
                chains = frozenset(filter(None, map(chain_of, ast.walk(node))))
                calls.append(EagerCall(function, chains, node in decorators))
        return tuple(calls)


Binder: TypeAlias = "tuple[int, Statement | Import]"


class Module:
    """A source file: its statements, and what binds each of its names, in order.

    ``file`` is its path relative to the folder that holds its top-level package. ``loads`` are the
    modules that importing it loads, besides its packages.
    """

    def __init__(self, name: str, file: str, source: bytes, is_package: bool) -> None:
        self.name, self.file, self.is_package = name, file, is_package
        self.tree = ast.parse(source, file)
        self._table = symtable.symtable(source, file, "exec")  # type: ignore[arg-type]
        self.statements: list[Statement] = []
        self.effects: list[Statement] = []
        self.binders: dict[str, list[Binder]] = {}
        self.bound_on_import: set[str] = set()
        self.loads: list[Import] = []
        docstring = self.tree.body[:1] if ast.get_docstring(self.tree) is not None else []
        for node, typing_only in _statements(self.tree.body):
            statement = Statement(node, len(self.statements), self)
            self.statements.append(statement)
            if not isinstance(node, ast.Import | ast.ImportFrom):
                names = ["__doc__"] if node in docstring else statement.bound + statement.mutated
                for name in filter(None, names):
                    self._bind(name, statement.index, statement)
                self.bound_on_import.update(names)
            for inner in eager(node):
                if isinstance(inner, ast.Import | ast.ImportFrom):
                    for name, target in self.imports_of(inner):
                        self._bind(name, statement.index, target)
                        if not typing_only:
                            self.bound_on_import.add(name)
                    if not typing_only:
                        self.loads += self.loads_of(inner)
            self._bind_global_imports(statement)
        for statement in self.statements:
            statement.is_effect = self._has_effect(statement.node)
            if statement.is_effect:
                self.effects.append(statement)

    @property
    def package(self) -> str:
        return self.name if self.is_package else self.name.rpartition(".")[0]

    def statements_of(self, name: str) -> list[Statement]:
        """Return the statements that bind or mutate a name, or all, or the module's effects."""
        if name == ALL:
            return self.statements
        if name == EFFECTS:
            return self.effects
        return [binder for _, binder in self.binders.get(name, ()) if isinstance(binder, Statement)]

    def absolute(self, name: str, level: int) -> str:
        """Return the dotted name that a relative import of this module means."""
        if not level:
            return name
        parts = self.package.split(".")
        parent = ".".join(parts[: len(parts) - level + 1])
        return f"{parent}.{name}" if name else parent

    def imports_of(self, node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, Import]]:
        """Yield the names that an import binds, ``*`` for a star import."""
        for alias in node.names:
            if isinstance(node, ast.ImportFrom):
                source = self.absolute(node.module or "", node.level)
                yield alias.asname or alias.name, Import(source, alias.name)
            elif alias.asname:
                yield alias.asname, Import(alias.name, None)
            else:
                top = alias.name.partition(".")[0]
                yield top, Import(top, None)

    def loads_of(self, node: ast.Import | ast.ImportFrom) -> list[Import]:
        """Return what an import loads: modules, and perhaps modules among their attributes."""
        if isinstance(node, ast.Import):
            return [Import(alias.name, None) for alias in node.names]
        return [target for _, target in self.imports_of(node)]

    @property
    def whole(self) -> list[ast.stmt]:
        """All statements but imports, whose order does not matter."""
        return [n for n in self.tree.body if not isinstance(n, ast.Import | ast.ImportFrom)]

    @cached_property
    def literals(self) -> frozenset[str]:
        """All strings in the module."""
        constants = (n.value for n in ast.walk(self.tree) if isinstance(n, ast.Constant))
        return frozenset(value for value in constants if isinstance(value, str))

    @cached_property
    def exported(self) -> frozenset[str] | None:
        """The names in ``__all__`` where it is a plain list, None where it is not known."""
        names: set[str] = set()
        for statement in self.statements_of("__all__"):
            value = getattr(statement.node, "value", None)
            if not isinstance(statement.node, ast.Assign | ast.AnnAssign | ast.AugAssign):
                return None
            try:
                names |= set(ast.literal_eval(value)) if value else set()
            except ValueError:
                return None
        return frozenset(names)

    def global_names(self, node: ast.stmt) -> set[str]:
        """Return the names that functions and classes in a statement take from the module."""
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
        last = node.end_lineno or node.lineno
        return {
            name for line, names in self._names_by_line if first <= line <= last for name in names
        }

    @cached_property
    def _names_by_line(self) -> list[tuple[int, set[str]]]:
        return [
            (table.get_lineno(), _global_symbols(table)) for table in self._table.get_children()
        ]

    def _bind(self, name: str, index: int, binder: Statement | Import) -> None:
        binders = self.binders.setdefault(name, [])
        if (index, binder) not in binders:
            binders.append((index, binder))

    def _bind_global_imports(self, statement: Statement) -> None:
        if not isinstance(statement.node, _FUNCTIONS):
            return
        nodes = list(ast.walk(statement.node))
        declared = {name for node in nodes if isinstance(node, ast.Global) for name in node.names}
        for node in nodes if declared else ():
            if isinstance(node, ast.Import | ast.ImportFrom):
                for name, target in self.imports_of(node):
                    if name in declared:
                        self._bind(name, statement.index, target)

    def _has_effect(self, node: ast.AST) -> bool:
        """Whether a statement may do something on import besides giving names to new objects."""
        if isinstance(node, _DEFINING):
            return False
        if isinstance(node, _OPEN):
            nested = (*ast.iter_child_nodes(node),)
            return any(self._has_effect(n) for n in nested if isinstance(n, (ast.stmt, *_OPEN)))
        if isinstance(node, ast.Expr):
            if isinstance(node.value, ast.Constant):
                return False
            call = node.value
            function = chain_of(call.func) if isinstance(call, ast.Call) else None
            return function is None or function[0] != "__all__"
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Delete):
            return not all(name == "__all__" or self._is_fresh(name) for name in _mutated(node))
        return type(node).__name__ != "TypeAlias"

    def _is_fresh(self, name: str) -> bool:
        """Whether a name stands for objects made here only, which no other name can mean."""
        if name not in self.binders:
            return False
        for _, binder in self.binders[name]:
            node = binder.node if isinstance(binder, Statement) else None
            if isinstance(node, ast.Assign | ast.AnnAssign) and name in _bound(node):
                if not isinstance(node.value, (*_FRESH, *_FRESH_RUN)):
                    return False
            elif not isinstance(
                node, ast.ClassDef | ast.AugAssign | ast.Delete | ast.Assign | _UNION_FUNCTIONS
            ):
                return False
        return True


def _statements(
    body: Sequence[ast.stmt], typing_only: bool = False
) -> Iterator[tuple[ast.stmt, bool]]:
    for node in body:
        test = ast.unparse(node.test) if isinstance(node, ast.If) else ""
        if isinstance(node, ast.If) and test.split(".")[-1] == "TYPE_CHECKING":
            yield from _statements(node.body, True)
            yield from _statements(node.orelse, typing_only)
        elif isinstance(node, ast.If) and test == "__name__ == '__main__'":
            yield from _statements(node.orelse, typing_only)
        else:
            yield node, typing_only


def eager(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a statement's nodes that are evaluated as soon as it runs: no bodies of functions."""
    yield node
    inner: Iterator[ast.AST]
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        inner = iter([*node.decorator_list, *_defaults(node.args)])
    elif isinstance(node, ast.Lambda):
        inner = iter(_defaults(node.args))
    else:
        inner = ast.iter_child_nodes(node)
    for child in inner:
        yield from eager(child)


def _defaults(arguments: ast.arguments) -> list[ast.expr]:
    return [*arguments.defaults, *(value for value in arguments.kw_defaults if value)]


def chain_of(node: ast.AST) -> Chain | None:
    """Return the names of ``a.b.c``, None for anything that does not start with a name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return (node.id, *reversed(parts)) if isinstance(node, ast.Name) else None


def digest_nodes(nodes: Sequence[ast.AST], docstrings: bool = False) -> str:
    """Return the sha256 of syntax trees, the same for every way to write them down.

    Without ``docstrings``, constants that stand alone as statements are left out.
    """
    out: list[str] = []
    _write(nodes, out, docstrings)
    return hashlib.sha256("\n".join(out).encode("utf-8", "surrogatepass")).hexdigest()


def _write(value: object, out: list[str], docstrings: bool) -> None:
    if isinstance(value, ast.AST):
        out.append(type(value).__name__)
        for field in value._fields:
            if field not in _UNUSED_FIELDS:
                _write(getattr(value, field, None), out, docstrings)
        out.append(")")
    elif isinstance(value, list | tuple) and not isinstance(value, str):
        out.append("[")
        for item in value:
            if not isinstance(item, ast.Pass) and (docstrings or not _is_idle(item)):
                _write(item, out, docstrings)
        out.append("]")
    else:
        out.append(repr(value))


def _is_idle(node: object) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _bound(node: ast.AST) -> Iterator[str]:
    """Yield the names of the module's scope that a statement binds or deletes, but for imports."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        yield node.name
        return
    if isinstance(node, ast.Lambda):
        return
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
    for field in ("name", "rest"):  # of exception handlers and of patterns
        name = getattr(node, field, None)
        if isinstance(name, str) and not isinstance(node, ast.alias):
            yield name
    for child in ast.iter_child_nodes(node):
        yield from _bound(child)


def _mutated(node: ast.AST) -> Iterator[str]:
    """Yield the names of objects that a statement changes by assignment to a part of them."""
    for inner in eager(node):
        if isinstance(inner, ast.AugAssign) and isinstance(inner.target, ast.Name):
            yield inner.target.id
        elif isinstance(inner, ast.Subscript | ast.Attribute) and not isinstance(
            inner.ctx, ast.Load
        ):
            part = inner.value
            if isinstance(part, ast.Subscript | ast.Attribute):
                yield ""  # part of a part, which may come from anywhere
            while isinstance(part, ast.Subscript | ast.Attribute):
                part = part.value
            yield part.id if isinstance(part, ast.Name) else ""


def _global_symbols(table: symtable.SymbolTable) -> set[str]:
    in_class = table.get_type() == "class"  # where a name may be the module's until it is bound
    names = {
        symbol.get_name()
        for symbol in table.get_symbols()
        if symbol.is_global() or (in_class and symbol.is_referenced())
    }
    for child in table.get_children():
        names |= _global_symbols(child)
    return names


class _Collector:
    """Collects a statement's references; ``names`` are those that its scopes take from outside."""

    def __init__(self, module: Module, names: set[str]) -> None:
        self._module, self._names = module, names
        self._chains: set[Chain] = set()
        self._paths: set[Chain] = set()
        self._modules: set[str] = set()
        self._attributes: set[str] = set()
        self._imports: dict[str, list[Import]] = {}

    def collect(self, statement: ast.stmt) -> References:
        loads: list[Import] = []
        for node in ast.walk(statement):
            if isinstance(node, ast.Import | ast.ImportFrom):
                for name, target in self._module.imports_of(node):
                    self._imports.setdefault(name, []).append(target)
                loads += self._module.loads_of(node)
            elif isinstance(node, ast.ClassDef):
                # An import in a class makes an attribute, which needs no name to be used.
                imports = (n for n in eager(node) if isinstance(n, ast.Import | ast.ImportFrom))
                self._chains |= {(name,) for n in imports for name, _ in self._module.imports_of(n)}
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
        if isinstance(node, ast.Attribute):
            self._attributes.add(node.attr)
        chain = chain_of(node)
        if chain:
            self._attributes.update(chain)
            known = chain[0] in self._names or chain[0].startswith("__")
            if annotation or known or chain[0] in self._imports:
                self._chains.add(chain)
            return
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str):
                self._visit_text(node.value, annotation)
            return
        if isinstance(node, ast.BinOp) and self._visit_path(node):
            return
        if isinstance(node, ast.Call) and self._visit_call(node):
            return
        if isinstance(node, ast.Subscript) and (chain_of(node.value) or ("",))[-1] == "Literal":
            annotation = False
        for field, value in ast.iter_fields(node):
            inside = annotation or field in ("annotation", "returns")
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    self._visit(child, inside)

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
            self._modules.add(self._module.absolute(name, len(literal) - len(name)))
            for child in rest:
                self._visit(child)
        else:
            return False
        return True


    def _imports_modules(self, function: Chain) -> bool:
        """Whether a function is ``importlib.import_module`` or ``__import__``."""
        binders = [binder for _, binder in self._module.binders.get(function[0], ())]
        known = [*self._imports.get(function[0], ()), *binders]
        if function[-1] not in _LITERAL_CALLS:
            return False
        return all(isinstance(b, Import) and b.module == "importlib" for b in known)


_CACHE: dict[tuple[str, Path], tuple[int, int, Module]] = {}
IDENTIFIER = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*(?::[A-Za-z_][\w.]*)?")


def read_module(name: str, path: Path, folder: Path, is_package: bool) -> Module:
    """Parse a file, once as long as its time and size stay the same."""
    status = path.stat()
    cached = _CACHE.get((name, path))
    if cached and cached[:2] == (status.st_mtime_ns, status.st_size):
        return cached[2]
    module = Module(name, path.relative_to(folder).as_posix(), path.read_bytes(), is_package)
    _CACHE[name, path] = (status.st_mtime_ns, status.st_size, module)
    return module
