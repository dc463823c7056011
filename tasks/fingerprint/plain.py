"""Whether importing a module does no more than to define things."""

import ast
import builtins
from collections.abc import Iterator

from tasks.fingerprint.modules import Module
from tasks.fingerprint.resolution import Node, Project
from tasks.fingerprint.syntax import FUNCTIONS, chain_of, chains_in

# Calls, decorators and bases that make a value and change nothing else: all that these modules
# offer, and these objects of others. A new one is added here once its module counts whole.
_MAKING_MODULES = frozenset({
    "abc", "collections", "collections.abc", "contextlib", "dataclasses", "datetime", "math",
    "pathlib", "pydantic", "pydantic_core", "re", "typing",
})  # fmt: skip
_MAKERS = frozenset({
    "contextvars.ContextVar", "functools.cache", "functools.cached_property",
    "functools.lru_cache", "functools.partial", "functools.singledispatch", "functools.wraps",
    "httpx.Auth", "httpx.Timeout", "itertools.chain", "logging.getLogger", "numpy.array",
    "numpy.zeros", "operator.attrgetter", "operator.itemgetter", "threading.Lock",
    "threading.local", "torch.device", "torch.nn.Module", "torch.no_grad",
    *(f"pyarrow.{name}" for name in (
        "binary", "bool_", "field", "float32", "float64", "int8", "int16", "int32", "int64",
        "list_", "schema", "string", "uint8",
    )),
})  # fmt: skip
_MAKING_BUILTINS = frozenset({
    "bool", "bytes", "classmethod", "dict", "float", "frozenset", "int", "len", "list", "property",
    "range", "set", "staticmethod", "str", "tuple",
})  # fmt: skip


def sources_of(project: Project, module: Module) -> frozenset[str]:
    """Return the modules from which a module takes something that it evaluates on import.

    The module itself is among them when importing it may do more than to define things.
    """
    taken = {chain for statement in module.statements for chain in statement.eager_chains}
    targets = (t for chain in taken for t in project.lookup(module, chain[0], chain[1:]))
    found = {target.module for target in targets if isinstance(target, Node)} - {module.name}
    used = (use for statement in module.statements for use in _uses(statement.eager))
    if not module.is_plain or not all(_only_makes(project, module, *use) for use in used):
        found.add(module.name)
    return frozenset(found)


def _uses(nodes: list[ast.AST]) -> Iterator[tuple[ast.expr, bool]]:
    """Yield what is called or decorates among nodes, and base classes; True for these."""
    for node in nodes:
        if isinstance(node, ast.Call):
            yield node.func, False
        elif isinstance(node, ast.ClassDef | FUNCTIONS):
            for decorator in node.decorator_list:
                if not isinstance(decorator, ast.Call):
                    yield decorator, False
            for base in node.bases if isinstance(node, ast.ClassDef) else ():
                yield base.value if isinstance(base, ast.Subscript) else base, True


def _only_makes(project: Project, module: Module, function: ast.expr, is_base: bool) -> bool:
    chain = chain_of(function)
    if chain is None:  # perhaps a method of a text
        return isinstance(function, ast.Attribute) and isinstance(function.value, ast.Constant)
    targets = project.lookup(module, chain[0], chain[1:])
    if not targets:
        is_exception = chain[0] in dir(builtins) and chain[0] != "type"
        return (
            chain[0] in _MAKING_BUILTINS or chain[1:] == ("setter",) or (is_base and is_exception)
        )
    return all(
        is_base or (len(chain) == 1 and _is_record(project, target))
        if isinstance(target, Node)
        else target in _MAKERS or target.rpartition(".")[0] in _MAKING_MODULES
        for target in targets
    )


def _is_record(project: Project, node: Node, seen: frozenset[Node] = frozenset()) -> bool:
    """Whether an instance of a class is made without running any code of the project."""
    module, statements = project.module(node.module), project.statements(node)
    if module is None or [type(s.node) for s in statements] != [ast.ClassDef]:
        return False
    statement = statements[0]
    for inner in statement.eager:
        if isinstance(inner, ast.Lambda):
            return False
        if isinstance(inner, FUNCTIONS):
            decorators = {c for d in inner.decorator_list for c in chains_in([*ast.walk(d)])}
            outside = {t for chain in decorators for t in project.lookup(module, chain[0])}
            validates = any(str(target).startswith("pydantic") for target in outside)
            if validates or inner.name.startswith("__") or inner.name == "model_post_init":
                return False
    used = (t for c in statement.eager_chains for t in project.lookup(module, c[0], c[1:]))
    return all(
        target in {node, *seen}
        or _is_record(project, target, seen | {node})
        or not any(isinstance(s.node, FUNCTIONS | ast.ClassDef) for s in project.statements(target))
        for target in used
        if isinstance(target, Node)
    )
