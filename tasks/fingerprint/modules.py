"""What a source file defines, statement by statement."""

import ast
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeAlias

from tasks.fingerprint.syntax import (
    IMPORTS,
    bound_names,
    chains_in,
    eager,
    is_bound_once,
    nodes_in,
    parse,
    prune,
)

WHOLE = "*"  # in place of a name: the whole module
CONDITIONS = "<module>"  # in place of a name: the module's ``if`` and ``try`` statements
# Names, and the modules from which the imports come that give them their usual meaning.
_KNOWN = {
    "Field": "pydantic", "Path": "pathlib", "TYPE_CHECKING": "typing",
    "operational": "sentiment.settings",
}  # fmt: skip
_LOGGER = "log = logging.getLogger(__name__)"
_DATA_FILE = re.compile(r"\w+ = Path\(__file__\)\.parent( / '\w[\w.]*(?<!\.py)')+")


class Import(NamedTuple):
    """The object ``name`` of a module; the module itself if None, its public names if ``*``."""

    module: str
    name: str | None


class Statement:
    """One statement at module level, and what it refers to.

    ``eager`` are the nodes that an import evaluates, ``chains`` the names in it with their
    attributes, ``imports`` what all imports in it bind, ``loads`` the modules that these load,
    ``words`` its texts, attributes and ``__names__``, and ``data_file`` is ``a/b.txt`` of
    ``NAME = Path(__file__).parent / "a" / "b.txt"``.
    """

    def __init__(self, node: ast.stmt, package: str, known: set[str]) -> None:
        self.node, self.dump = node, ast.dump(node)
        self.bound = frozenset(bound_names(node))
        self.eager = list(eager(node))
        self.nodes = nodes_in(node)
        self.chains = sorted(chains_in(self.nodes))
        self.imports = list(imports_in(self.nodes, package))
        self.loads = loads_in(self.nodes, package)
        constants = [each.value for each in self.nodes if isinstance(each, ast.Constant)]
        self.texts = {value for value in constants if isinstance(value, str)}
        attributes = {each.attr for each in self.nodes if isinstance(each, ast.Attribute)}
        self.words = self.texts | attributes | {n for n, *_ in self.chains if n.startswith("__")}
        self.data_file = ""
        source = ast.unparse(node) if isinstance(node, ast.Assign) and "Path" in known else ""
        if _DATA_FILE.fullmatch(source):
            self.data_file = "/".join(re.findall("'(.*?)'", source))
            self.words -= {"__file__"}


Binder: TypeAlias = Statement | Import


class Module:
    """A source file: its statements, and what binds each of its names, in order.

    ``file`` is its path from the folder above its top-level package. A star import binds ``*``.
    """

    def __init__(self, name: str, file: str, source: bytes, is_package: bool) -> None:
        self.name, self.file, self.source, self.is_package = name, file, source, is_package
        self.package = name if is_package else name.rpartition(".")[0]
        self.statements: list[Statement] = []
        self.binders: dict[str, list[Binder]] = {}
        self.loads: list[str] = []  # the modules that it imports
        self.rebinds = False  # whether a second statement gives a name another meaning
        tree = parse(source, file)
        self._known = self._known_names(tree)
        prune(tree, self._known)
        for node in tree.body:
            test = ast.unparse(node.test) if isinstance(node, ast.If) and not node.orelse else ""
            if isinstance(node, ast.If) and test == "TYPE_CHECKING" and test in self._known:
                for inner in node.body:
                    self._add(inner)
            elif test != "__name__ == '__main__'":
                self.loads += loads_in(self._add(node).eager, self.package)

    def _known_names(self, tree: ast.Module) -> set[str]:
        """Return which of _KNOWN and ``log`` have their usual meaning throughout a module."""
        imports = dict(imports_in(tree.body, self.package))
        known = {name for name, module in _KNOWN.items() if imports.get(name) == (module, name)}
        assigned = [ast.unparse(node) for node in tree.body if isinstance(node, ast.Assign)]
        if _LOGGER in assigned and imports.get("logging") == ("logging", None):
            known.add("log")
        return {name for name in known if is_bound_once(name, tree)}

    def _add(self, node: ast.stmt) -> Statement:
        statement = Statement(node, self.package, self._known)
        self.statements.append(statement)
        binders: list[tuple[str, Binder]] = [(name, statement) for name in sorted(statement.bound)]
        binders += imports_in(statement.eager, self.package)
        new = [each for each in binders if each[1] not in self.binders.get(each[0], ())]
        self.rebinds |= any(name in self.binders for name, _ in new)
        for name, binder in new:
            self.binders.setdefault(name, []).append(binder)
        return statement

    def statements_of(self, name: str) -> list[Statement]:
        """Return the statements that bind a name, or those that WHOLE or CONDITIONS stand for."""
        if name == WHOLE:
            return self.statements
        if name == CONDITIONS:
            return [s for s in self.statements if isinstance(s.node, ast.If | ast.Try)]
        return [binder for binder in self.binders.get(name, ()) if isinstance(binder, Statement)]


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


def loads_in(nodes: list[ast.AST], package: str) -> list[str]:
    """Return the modules that the imports among nodes load, or may load."""
    loads = [a.name for node in nodes if isinstance(node, ast.Import) for a in node.names]
    return loads + [f"{module}.{name}" for _, (module, name) in imports_in(nodes, package) if name]
