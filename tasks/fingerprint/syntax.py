"""Questions about syntax trees that need no more than the tree."""

import ast
import hashlib
from collections.abc import Collection, Iterable, Iterator, Set
from typing import TypeAlias

Chain: TypeAlias = tuple[str, ...]  # a.b.c as ("a", "b", "c")
FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
IMPORTS = ast.Import | ast.ImportFrom
COMPOUND = ast.If | ast.Try | ast.With
_PLAIN = COMPOUND | FUNCTIONS | IMPORTS | ast.ClassDef | ast.Assign | ast.AnnAssign
_HOOKS = frozenset({"__init_subclass__", "__pydantic_init_subclass__", "__set_name__"})
_LOGGING = frozenset(("log", level) for level in ("debug", "info", "warning", "error", "exception"))
_TYPING_CALLS = frozenset({"cast", "TypeVar", "NewType", "ForwardRef"})


def prune(tree: ast.Module, known: Set[str]) -> None:
    """Take from a tree what shapes no byte of a stage's output.

    That is docstrings and other constants that stand alone, ``pass``, what a log says, and of
    settings their descriptions and those that are ``operational``. ``known`` are those of the names
    ``Field``, ``operational`` and ``log`` that have their usual meaning in the module.
    """
    for node in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            if isinstance(block := getattr(node, field, None), list):
                block[:] = [item for item in block if not _is_idle(item)]
        if isinstance(node, ast.ClassDef):
            node.body[:] = [
                item for item in node.body if not _made_with("operational", item, known)
            ]
            for call in filter(None, (_made_with("Field", item, known) for item in node.body)):
                call.keywords[:] = [keyword for keyword in call.keywords if not _is_words(keyword)]
        elif isinstance(node, ast.Expr) and "log" in known and isinstance(node.value, ast.Call):
            call = node.value
            if chain_of(call.func) in _LOGGING and isinstance(call.args[0], ast.Constant):
                del call.args[0]


def _is_idle(node: ast.stmt) -> bool:
    is_constant = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return is_constant or isinstance(node, ast.Pass)


def _made_with(maker: str, item: ast.stmt, known: Set[str]) -> ast.Call | None:
    """Return the call of a known maker that makes a field of a class."""
    call = item.value if isinstance(item, ast.AnnAssign) and maker in known else None
    return call if isinstance(call, ast.Call) and chain_of(call.func) == (maker,) else None


def _is_words(keyword: ast.keyword) -> bool:
    return keyword.arg == "description" and isinstance(keyword.value, ast.Constant)


def has_logger(tree: ast.Module) -> bool:
    """Whether ``log`` means a logger everywhere in a module, as nothing else is called so."""
    made = (ast.unparse(node) for node in tree.body if isinstance(node, ast.Assign))
    if "log = logging.getLogger(__name__)" not in made:
        return False
    fields = ("name", "asname", "arg", "rest")
    return (
        sum(
            (isinstance(node, ast.Name) and node.id == "log" and not isinstance(node.ctx, ast.Load))
            or any(getattr(node, field, None) == "log" for field in fields)
            for node in ast.walk(tree)
        )
        == 1
    )


def digest_of(nodes: Iterable[ast.AST]) -> str:
    """Return the sha256 of syntax trees, the same for every way to write them down."""
    text = "\n".join(map(ast.dump, nodes))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def eager(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a statement's nodes that are evaluated as soon as it runs: no bodies of functions."""
    queue = [node]
    while queue:
        node = queue.pop()
        yield node
        inner: Iterable[ast.AST] = ast.iter_child_nodes(node)
        if isinstance(node, FUNCTIONS):
            inner = [*node.decorator_list, node.args, *filter(None, [node.returns])]
        elif isinstance(node, ast.Lambda):
            inner = [node.args]
        queue.extend(reversed([*inner]))


def chain_of(node: ast.AST) -> Chain | None:
    """Return the names of ``a.b.c``, None for anything that does not start with a name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return (node.id, *reversed(parts)) if isinstance(node, ast.Name) else None


def _last(node: ast.AST) -> str:
    return (chain_of(node) or ("",))[-1]


def chains_in(nodes: Collection[ast.AST]) -> set[Chain]:
    """Return the longest chains among nodes."""
    inner = {node.value for node in nodes if isinstance(node, ast.Attribute)}
    return {chain for node in nodes if node not in inner and (chain := chain_of(node))}


def quoted_types(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield the nodes of the types that are written as strings: in annotations, ``cast`` ..."""
    for node in nodes:
        types = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        if isinstance(node, ast.Call) and _last(node.func) in _TYPING_CALLS:
            types += [*node.args, *(keyword.value for keyword in node.keywords)]
        elif isinstance(node, ast.AnnAssign) and _last(node.annotation) == "TypeAlias":
            types.append(node.value)
        for each in filter(None, types):
            yield from _parsed_strings(each)


def _parsed_strings(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Subscript) and _last(node.value) == "Literal":
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            parsed = ast.parse(node.value.strip(), mode="eval").body
        except (SyntaxError, ValueError):
            return
        yield from ast.walk(parsed)
        yield from _parsed_strings(parsed)
    for child in ast.iter_child_nodes(node):
        yield from _parsed_strings(child)


def is_plain(nodes: Iterable[ast.AST]) -> bool:
    """Whether a statement with these eager nodes only imports, defines and assigns names.

    What the calls in it do is another question.
    """
    for node in nodes:
        if isinstance(node, ast.stmt):
            if not isinstance(node, _PLAIN) and type(node).__name__ != "TypeAlias":
                return False
            if isinstance(node, ast.ClassDef) and node.keywords:  # such as a metaclass
                return False
            if isinstance(node, ast.FunctionDef) and node.name in _HOOKS:  # run by making a class
                return False
        elif isinstance(node, ast.Attribute | ast.Subscript):
            if not isinstance(node.ctx, ast.Load):
                return False
        elif isinstance(node, ast.NamedExpr) or getattr(node, "name", "") == "*":  # a star import
            return False
    return True


def bound_names(node: ast.AST) -> Iterator[str]:
    """Yield the names of the module's scope that a statement binds or deletes."""
    if isinstance(node, ast.ClassDef | FUNCTIONS):
        yield node.name
    elif isinstance(node, IMPORTS):
        yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id
    elif not isinstance(node, ast.Lambda):
        for field in ("name", "rest"):  # of exception handlers and of patterns
            if isinstance(name := getattr(node, field, None), str):
                yield name
        for child in ast.iter_child_nodes(node):
            if not (isinstance(node, ast.comprehension) and child is node.target):
                yield from bound_names(child)
