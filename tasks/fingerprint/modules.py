"""What a source file defines, statement by statement, read from its text alone.

A module is cut into its statements at module level. A compound one (``if``, ``try``, ``with`` ...)
stays one piece, as its condition decides what its names mean. Two kinds are opened:
``if TYPE_CHECKING``, whose imports serve annotations, and ``if __name__ == "__main__"``, whose body
no import runs.
"""

import ast
import re
import symtable
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TypeAlias

from tasks.fingerprint.references import Import, References, imports_of, loads_of, references_of
from tasks.fingerprint.syntax import (
    FUNCTIONS,
    IMPORTS,
    Chain,
    bound_names,
    chain_of,
    digest_nodes,
    eager,
    global_symbols,
    mutated_names,
    unfolded,
    walk,
)

ALL = "*"  # stands for a whole module, and for a star import
EFFECTS = "<module>"  # stands for what a module does when it is imported, besides defining
DOC_READERS = frozenset({"__doc__", "getdoc"})
_NAMESPACES = frozenset({("vars",), ("locals",), ("dir",)})
_DEFINING = ast.ClassDef | ast.Pass | ast.Global | FUNCTIONS | IMPORTS
_OPEN = (
    ast.If | ast.Try | ast.TryStar | ast.With | ast.AsyncWith | ast.Match
    | ast.match_case | ast.ExceptHandler
)  # fmt: skip
_FRESH = (ast.Dict, ast.List, ast.Set, ast.Tuple, ast.Constant, ast.JoinedStr)
_FRESH_RUN = (ast.DictComp, ast.ListComp, ast.SetComp)


class EagerCall(NamedTuple):
    """A call that runs on import: of what, with what, and whether it decorates a definition."""

    function: Chain
    chains: frozenset[Chain]
    decorates: bool


class Statement:
    """One statement at module level, and the names that it binds, deletes or mutates."""

    def __init__(self, node: ast.stmt, index: int, module: "Module") -> None:
        self.node, self.index = node, index
        self._module = module
        self.bound = tuple(dict.fromkeys(bound_names(node)))
        self.mutated = tuple(dict.fromkeys(mutated_names(node)))
        self.is_effect = False
        self._digests: dict[bool, str] = {}

    def digest(self, docstrings: bool) -> str:
        """Return the sha256 of the statement's normalised AST."""
        if docstrings not in self._digests:
            self._digests[docstrings] = digest_nodes([self.node], docstrings)
        return self._digests[docstrings]

    @cached_property
    def _eager(self) -> list[ast.AST]:
        return list(eager(self.node))

    @cached_property
    def references(self) -> References:
        names = self._module.global_names(self.node)
        names |= self.eager_names
        return references_of(self.node, self._module.package, names, self._module.importers)

    @cached_property
    def eager_names(self) -> frozenset[str]:
        """The names read or bound when the statement runs."""
        names = {node.id for node in self._eager if isinstance(node, ast.Name)}
        return frozenset({*names, *self.bound, *self.mutated})

    @cached_property
    def reads_namespace(self) -> bool:
        """Whether the statement takes all names of the module: ``vars()`` outside functions."""
        return any(
            isinstance(node, ast.Call) and not node.args and chain_of(node.func) in _NAMESPACES
            for node in self._eager
        )

    @property
    def is_definition(self) -> bool:
        """Whether the statement makes a function or a class."""
        return isinstance(self.node, ast.ClassDef | FUNCTIONS)

    @cached_property
    def bases(self) -> tuple[Chain, ...]:
        """The base classes of all classes in the statement that exist after an import."""
        classes = [node for node in self._eager if isinstance(node, ast.ClassDef)]
        found = (chain_of(base) for node in classes for base in node.bases)
        return tuple(chain for chain in found if chain)

    @cached_property
    def makes_subclasses_known(self) -> bool:
        """Whether the statement has a class that may take note of its subclasses."""
        return any(
            (isinstance(node, FUNCTIONS) and node.name == "__init_subclass__")
            or (
                isinstance(node, ast.keyword)
                and node.arg == "metaclass"
                and (chain_of(node.value) or ("",))[-1] != "ABCMeta"
            )
            for node in self._eager
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
                and "model_config" not in bound_names(item)  # pydantic's own
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
            for node in self._eager
            if isinstance(node, ast.ClassDef | FUNCTIONS)
            for decorator in node.decorator_list
        }
        calls = []
        for node in [*decorators, *(n for n in self._eager if isinstance(n, ast.Call))]:
            called = node.func if isinstance(node, ast.Call) else node
            function = next(filter(None, map(chain_of, walk(called))), None)
            if function:
                chains = frozenset(filter(None, map(chain_of, walk(node))))
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
        self._has_globals = b"global" in source
        self.tree = ast.parse(source, file)
        self._table = symtable.symtable(source, file, "exec")  # type: ignore[arg-type]
        self.statements: list[Statement] = []
        self.effects: list[Statement] = []
        self.binders: dict[str, list[Binder]] = {}
        self.bound_on_import: set[str] = set()
        self.loads: list[Import] = []
        docstring = self.tree.body[:1] if ast.get_docstring(self.tree) is not None else []
        for node, typing_only in unfolded(self.tree.body):
            statement = Statement(node, len(self.statements), self)
            self.statements.append(statement)
            if not isinstance(node, IMPORTS):
                names = ["__doc__"] if node in docstring else statement.bound + statement.mutated
                for name in filter(None, names):
                    self._bind(name, statement.index, statement)
                self.bound_on_import.update(names)
            for inner in eager(node):
                if isinstance(inner, IMPORTS):
                    for name, target in imports_of(inner, self.package):
                        self._bind(name, statement.index, target)
                        if not typing_only:
                            self.bound_on_import.add(name)
                    if not typing_only:
                        self.loads += loads_of(inner, self.package)
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

    @cached_property
    def importers(self) -> frozenset[str]:
        """The names that can only mean ``importlib``, or a function of it."""
        return frozenset({"__import__"} - self.binders.keys()) | {
            name
            for name, binders in self.binders.items()
            if all(isinstance(b, Import) and b.module == "importlib" for _, b in binders)
        }

    @property
    def whole(self) -> list[ast.stmt]:
        """All statements but imports, whose order does not matter."""
        return [n for n in self.tree.body if not isinstance(n, IMPORTS)]

    @cached_property
    def literals(self) -> frozenset[str]:
        """All strings in the module."""
        constants = (n.value for n in walk(self.tree) if isinstance(n, ast.Constant))
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
        return [(table.get_lineno(), global_symbols(table)) for table in self._table.get_children()]

    def _bind(self, name: str, index: int, binder: Statement | Import) -> None:
        binders = self.binders.setdefault(name, [])
        if (index, binder) not in binders:
            binders.append((index, binder))

    def _bind_global_imports(self, statement: Statement) -> None:
        if not self._has_globals or not isinstance(statement.node, ast.ClassDef | FUNCTIONS):
            return
        nodes = list(walk(statement.node))
        declared = {name for node in nodes if isinstance(node, ast.Global) for name in node.names}
        for node in nodes if declared else ():
            if isinstance(node, IMPORTS):
                for name, target in imports_of(node, self.package):
                    if name in declared:
                        self._bind(name, statement.index, target)

    def _has_effect(self, node: ast.AST) -> bool:
        """Whether a statement may do something on import besides giving names to new objects."""
        if isinstance(node, _DEFINING):
            return False
        if isinstance(node, _OPEN):
            nested = [n for n in ast.iter_child_nodes(node) if isinstance(n, ast.stmt | _OPEN)]
            return any(map(self._has_effect, nested))
        if isinstance(node, ast.Expr):
            if isinstance(node.value, ast.Constant):
                return False
            call = node.value
            function = chain_of(call.func) if isinstance(call, ast.Call) else None
            return function is None or function[0] != "__all__"
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Delete):
            return not all(
                name == "__all__" or self._is_fresh(name) for name in mutated_names(node)
            )
        return type(node).__name__ != "TypeAlias"

    def _is_fresh(self, name: str) -> bool:
        """Whether a name stands for objects made here only, which no other name can mean."""
        if name not in self.binders:
            return False
        for _, binder in self.binders[name]:
            node = binder.node if isinstance(binder, Statement) else None
            if isinstance(node, ast.Assign | ast.AnnAssign) and name in bound_names(node):
                if not isinstance(node.value, (*_FRESH, *_FRESH_RUN)):
                    return False
            elif not isinstance(
                node, ast.ClassDef | ast.AugAssign | ast.Delete | ast.Assign | FUNCTIONS
            ):
                return False
        return True


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
