"""Questions about a syntax tree that the tree alone answers."""

import ast
import contextlib
import gc
import threading
from collections.abc import Collection, Iterable, Iterator, Set
from typing import TypeAlias

Chain: TypeAlias = tuple[str, ...]  # a.b.c as ("a", "b", "c")
FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
IMPORTS = ast.Import | ast.ImportFrom
_LOGGING = frozenset(("log", level) for level in ("debug", "info", "warning", "error", "exception"))
_TYPING_CALLS = frozenset({"cast", "TypeVar", "NewType", "ForwardRef"})
_NAME_FIELDS = ("id", "name", "asname", "arg", "rest")
_parsing = threading.Lock()


def parse(source: str | bytes, file: str = "<unknown>") -> ast.Module:
    """Return the syntax tree of a source.

    CPython keeps one depth of trees for all threads. The garbage collector may let a second
    thread parse in the middle of a tree, and the first then raises SystemError
    (https://github.com/python/cpython/issues/106905). So the collector waits meanwhile.
    """
    with _parsing:
        collects = gc.isenabled()
        gc.disable()
        try:
            return ast.parse(source, file)
        finally:
            if collects:
                gc.enable()


def prune(tree: ast.Module, known: Set[str]) -> None:
    """Remove what cannot change a stage's output.

    That is docstrings, ``pass``, log messages, and of settings the descriptions and those that are
    ``operational``. ``known`` says which of these functions have their usual meaning.
    """
    for node in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            if isinstance(block := getattr(node, field, None), list):
                block[:] = [item for item in block if not _does_nothing(item)]
        if isinstance(node, ast.ClassDef) and "operational" in known:
            node.body[:] = [item for item in node.body if not _is_operational(item)]
        elif isinstance(node, ast.Call):
            chain = chain_of(node.func)
            if chain == ("Field",) and "Field" in known:
                node.keywords[:] = [
                    keyword
                    for keyword in node.keywords
                    if keyword.arg != "description" or not isinstance(keyword.value, ast.Constant)
                ]
            elif chain in _LOGGING and "log" in known:
                node.args[:1] = [a for a in node.args[:1] if not isinstance(a, ast.Constant)]


def _does_nothing(node: ast.stmt) -> bool:
    is_constant = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return is_constant or isinstance(node, ast.Pass)


def _is_operational(node: ast.stmt) -> bool:
    call = node.value if isinstance(node, ast.AnnAssign) else None
    return isinstance(call, ast.Call) and chain_of(call.func) == ("operational",)


def is_bound_once(name: str, tree: ast.Module) -> bool:
    """Whether only one node of a tree gives a name a meaning, in any scope."""
    named = (n for n in ast.walk(tree) if name in [getattr(n, f, None) for f in _NAME_FIELDS])
    return sum(not isinstance(getattr(node, "ctx", None), ast.Load) for node in named) == 1


def eager(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a statement that an import evaluates: all but the bodies of functions."""
    yield node
    inner: Iterable[ast.AST] = ast.iter_child_nodes(node)
    if isinstance(node, FUNCTIONS):
        inner = [*node.decorator_list, node.args, *filter(None, [node.returns])]
    elif isinstance(node, ast.Lambda):
        inner = [node.args]
    for child in inner:
        yield from eager(child)


def chain_of(node: ast.AST) -> Chain | None:
    """Return the names of ``a.b.c``, None for anything that does not start with a name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return (node.id, *reversed(parts)) if isinstance(node, ast.Name) else None


def chains_in(nodes: Collection[ast.AST]) -> set[Chain]:
    """Return the longest chains among nodes."""
    inner = {node.value for node in nodes if isinstance(node, ast.Attribute)}
    return {chain for node in nodes if node not in inner and (chain := chain_of(node))}


def nodes_in(node: ast.AST) -> list[ast.AST]:
    """Return all nodes of a tree, with those of types that are written as strings."""
    nodes = list(ast.walk(node))
    return nodes + [inner for each in nodes for inner in _quoted_types(each)]


def _quoted_types(node: ast.AST) -> Iterator[ast.AST]:
    types: list[ast.AST | None] = [getattr(node, name, None) for name in ("annotation", "returns")]
    if isinstance(node, ast.AnnAssign) and "TypeAlias" in ast.unparse(node.annotation):
        types.append(node.value)
    elif isinstance(node, ast.Call) and (chain_of(node.func) or ("",))[-1] in _TYPING_CALLS:
        types += ast.iter_child_nodes(node)
    for part in (part for each in types if each for part in ast.walk(each)):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            with contextlib.suppress(SyntaxError, ValueError):
                yield from nodes_in(parse(f"_: ({part.value})"))  # may hold strings again


def bound_names(node: ast.AST) -> Iterator[str]:
    """Yield the names of the module's scope that a statement binds or deletes, but for imports."""
    if isinstance(node, ast.ClassDef | FUNCTIONS):
        yield node.name
    elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id
    elif not isinstance(node, ast.Lambda | IMPORTS):
        for field in ("name", "rest"):  # of exception handlers and of patterns
            if isinstance(name := getattr(node, field, None), str):
                yield name
        for child in ast.iter_child_nodes(node):
            if not (isinstance(node, ast.comprehension) and child is node.target):
                yield from bound_names(child)
