"""Whether importing a module only defines things."""

import ast
import builtins
from collections.abc import Iterator

from tasks.fingerprint.modules import Module, Statement
from tasks.fingerprint.resolution import Node, Project, Target
from tasks.fingerprint.syntax import FUNCTIONS, IMPORTS, chain_of, chains_in

_STATEMENTS = FUNCTIONS | IMPORTS | ast.Assign | ast.AnnAssign | ast.If | ast.Try
_HOOKS = frozenset({  # run by making a class, or by taking an item of it
    "__class_getitem__", "__init_subclass__", "__pydantic_init_subclass__", "__set_name__",
})  # fmt: skip
# Calls, decorators and base classes that do nothing but give a value. A module that uses any other
# at its top counts whole.
_SAFE = frozenset({
    "bytes.maketrans", "contextlib.contextmanager", "contextvars.ContextVar", "dataclasses.*",
    "datetime.*", "functools.cache", "functools.cached_property", "itertools.chain", "len",
    "logging.getLogger", "math.*", "pathlib.*", "pyarrow.binary", "pyarrow.dictionary",
    "pyarrow.float32", "pyarrow.float64", "pyarrow.int8", "pyarrow.int16", "pyarrow.int32",
    "pyarrow.int64", "pyarrow.list_", "pyarrow.schema", "pyarrow.string", "pyarrow.uint8",
    "pyarrow.uint64",
    "pydantic.*", "re.compile", "re.escape", "re.split", "threading.Lock", "threading.local",
    "torch.device",
    "torch.nn.Module", "torch.no_grad", "typing.*",
    *(name for name, value in vars(builtins).items() if isinstance(value, type)),
}) - {"type", "map", "filter"}  # fmt: skip
_MODEL_PARTS = frozenset({"pydantic.BaseModel", "pydantic.ConfigDict", "pydantic.Field"})


def sources_of(project: Project, module: Module) -> set[str]:
    """Return the modules of which a module evaluates something on import.

    The module itself is among them if importing it may do more than define things.
    """
    taken = (t for each in module.statements for t in _taken(project, module, each))
    found = {target.module for target in taken if isinstance(target, Node)} - {module.name}
    defines = all(_only_defines(project, module, each) for each in module.statements)
    return found if defines and not module.rebinds else {*found, module.name}


def _taken(project: Project, module: Module, statement: Statement) -> Iterator[Target]:
    """Yield what the names in a statement stand for that importing its module evaluates."""
    for chain in chains_in(statement.eager):
        yield from project.lookup(module, chain)


def _only_defines(project: Project, module: Module, statement: Statement) -> bool:
    """Whether a statement only imports, defines and assigns."""
    has_global = any(isinstance(node, ast.Global) for node in statement.nodes)
    return not has_global and all(
        _is_definition(node) and all(_is_safe(project, module, *use) for use in _uses(node))
        for node in statement.eager
    )


def _is_definition(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute | ast.Subscript):
        return isinstance(node.ctx, ast.Load)
    if _HOOKS & {getattr(node, "name", None), getattr(node, "id", None)}:
        return False
    if isinstance(node, ast.ClassDef):
        return not node.keywords  # such as a metaclass
    if isinstance(node, ast.alias):
        return node.name != "*"
    return isinstance(node, _STATEMENTS) or not isinstance(node, ast.stmt | ast.NamedExpr)


def _uses(node: ast.AST) -> Iterator[tuple[ast.expr, bool]]:
    """Yield what a node calls or is decorated with, and its base classes; True for these."""
    if isinstance(node, ast.Call):
        yield node.func, False
    for decorator in getattr(node, "decorator_list", ()):
        if not isinstance(decorator, ast.Call):
            yield decorator, False
    for base in node.bases if isinstance(node, ast.ClassDef) else ():
        yield base.value if isinstance(base, ast.Subscript) else base, True


def _is_safe(project: Project, module: Module, used: ast.expr, is_base: bool) -> bool:
    chain = chain_of(used)
    if chain is None:  # perhaps a method of a text
        return isinstance(getattr(used, "value", None), ast.Constant)
    return all(
        bool({target, f"{target.rpartition('.')[0]}.*"} & _SAFE)
        if isinstance(target, str)
        else is_base or (len(chain) == 1 and _is_record(project, target))
        for target in project.lookup(module, chain) or [".".join(chain)]
    )


def _is_record(project: Project, made: Node) -> bool:
    """Whether making an instance of a class runs no code of the project."""
    classes = [made]  # and its bases, and all others that their bodies name
    for each in classes:
        module, statements = project.module(each.module), project.statements(each)
        if module is None or [type(s.node) for s in statements] != [ast.ClassDef]:
            return False
        for node in statements[0].eager:
            is_special = isinstance(node, FUNCTIONS) and node.name.startswith(("__", "model_post"))
            if is_special or isinstance(node, ast.Lambda):
                return False
        for target in _taken(project, module, statements[0]):
            if isinstance(target, Node):
                classes += [target] if target not in classes else []
            elif target.startswith("pydantic") and target not in _MODEL_PARTS:  # a validator
                return False
    return True
