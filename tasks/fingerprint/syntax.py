"""Questions about syntax trees that need no more than the tree."""

import ast
import hashlib
import symtable
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TypeAlias

Chain: TypeAlias = tuple[str, ...]  # a.b.c as ("a", "b", "c")
FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)  # faster than a union
IMPORTS = ast.Import | ast.ImportFrom
_UNUSED_FIELDS = frozenset({"ctx", "kind", "type_comment", "simple"})


def unfolded(
    body: Sequence[ast.stmt], typing_only: bool = False
) -> Iterator[tuple[ast.stmt, bool]]:
    """Yield statements, those of opened ``if`` statements too, and whether only types need them."""
    for node in body:
        test = ast.unparse(node.test) if isinstance(node, ast.If) else ""
        if isinstance(node, ast.If) and test.split(".")[-1] == "TYPE_CHECKING":
            yield from unfolded(node.body, True)
            yield from unfolded(node.orelse, typing_only)
        elif isinstance(node, ast.If) and test == "__name__ == '__main__'":
            yield from unfolded(node.orelse, typing_only)
        else:
            yield node, typing_only


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a node and all below it, as ``ast.walk`` does, in the order of the text."""
    queue = [node]
    while queue:
        node = queue.pop()
        yield node
        queue.extend(reversed(children(node)))


def eager(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a statement's nodes that are evaluated as soon as it runs: no bodies of functions."""
    queue = [node]
    while queue:
        node = queue.pop()
        yield node
        inner: Sequence[ast.AST]
        if isinstance(node, _FUNCTIONS):
            inner = [*node.decorator_list, *_defaults(node.args)]
        elif isinstance(node, ast.Lambda):
            inner = _defaults(node.args)
        else:
            inner = children(node)
        queue.extend(reversed(inner))


def children(node: ast.AST) -> list[ast.AST]:
    """Return the nodes in a node's fields that have a meaning of their own."""
    found: list[ast.AST] = []
    for field in _with_meaning(node._fields):
        value = getattr(node, field, None)
        if isinstance(value, ast.AST):
            found.append(value)
        elif isinstance(value, list):
            found += [item for item in value if isinstance(item, ast.AST)]
    return found


@cache
def _with_meaning(fields: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(field for field in fields if field not in _UNUSED_FIELDS)


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
    _write(list(nodes), out, docstrings)
    return hashlib.sha256("\n".join(out).encode("utf-8", "surrogatepass")).hexdigest()


def _write(value: object, out: list[str], docstrings: bool) -> None:
    if isinstance(value, ast.AST):
        out.append(type(value).__name__)
        for field in _with_meaning(value._fields):
            _write(getattr(value, field, None), out, docstrings)
        out.append(")")
    elif isinstance(value, list):
        out.append("[")
        for item in value:
            if not isinstance(item, ast.Pass) and (docstrings or not _is_idle(item)):
                _write(item, out, docstrings)
        out.append("]")
    else:
        out.append(repr(value))


def _is_idle(node: object) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def bound_names(node: ast.AST) -> Iterator[str]:
    """Yield the names of the module's scope that a statement binds or deletes, but for imports."""
    if isinstance(node, ast.ClassDef | FUNCTIONS):
        yield node.name
        return
    if isinstance(node, ast.Lambda):
        return
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id
    if isinstance(node, IMPORTS):
        yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
    for field in ("name", "rest"):  # of exception handlers and of patterns
        name = getattr(node, field, None)
        if isinstance(name, str) and not isinstance(node, ast.alias):
            yield name
    for child in children(node):
        yield from bound_names(child)


def mutated_names(node: ast.AST) -> Iterator[str]:
    """Yield the names of objects that a statement changes by assignment to a part of them."""
    for inner in eager(node):
        if isinstance(inner, ast.AugAssign) and isinstance(inner.target, ast.Name):
            yield inner.target.id
        elif isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute):
            if chain_of(inner.func.value) == ("__all__",):
                yield "__all__"
        elif isinstance(inner, ast.Subscript | ast.Attribute) and not isinstance(
            inner.ctx, ast.Load
        ):
            part = inner.value
            if isinstance(part, ast.Subscript | ast.Attribute):
                yield ""  # part of a part, which may come from anywhere
            while isinstance(part, ast.Subscript | ast.Attribute):
                part = part.value
            yield part.id if isinstance(part, ast.Name) else ""


def global_symbols(table: symtable.SymbolTable) -> set[str]:
    """Return the names that a scope, with those inside it, may take from the module."""
    in_class = table.get_type() == "class"  # where a name may be the module's until it is bound
    names = {
        symbol.get_name()
        for symbol in table.get_symbols()
        if symbol.is_global() or (in_class and symbol.is_referenced())
    }
    for child in table.get_children():
        names |= global_symbols(child)
    return names
