"""What names stand for across the modules of some packages, found without importing any."""

import importlib.util
import os
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypeAlias

from sentiment.errors import StageError
from tasks.fingerprint.data_files import CACHE, data_files, files_named, with_included
from tasks.fingerprint.modules import WHOLE, Import, Module, Statement, imports_in
from tasks.fingerprint.syntax import Chain

# Code that uses one of these may find any code or data file at run time: objects, by how their
# dotted name begins, and words, as a name, an attribute or a text.
_DYNAMIC_OBJECTS = (
    "builtins.eval.", "builtins.exec.", "builtins.globals.", "code.", "doctest.", "gc.", "imp.",
    "importlib.", "importlib_resources.", "inspect.", "jinja2.PackageLoader.", "logging.",
    "marshal.", "os.exec", "os.popen.", "os.posix_spawn", "os.spawn", "os.system.", "pickle.",
    "pkg_resources.", "pkgutil.", "pty.", "pydoc.", "runpy.", "shelve.", "subprocess.",
    "sys._current_frames.", "sys._getframe.", "sys.meta_path.", "sys.modules.", "sys.path_hooks.",
    "timeit.", "torch.load.", "trace.",
)  # fmt: skip
_STATIC_OBJECTS = frozenset({"importlib.util.find_spec", "logging.getLogger"})
_DYNAMIC_WORDS = frozenset({
    "__builtins__", "__file__", "__globals__", "__import__", "__loader__", "__path__", "__self__",
    "__spec__", "__subclasses__", "exec_module", "f_back", "f_globals", "get_code", "get_data",
    "get_source", "gi_frame", "load_module", "tb_frame",
    # These may read docstrings, descriptions and log messages, which otherwise do not count.
    "__doc__", "addFilter", "addHandler", "description", "model_json_schema",
})  # fmt: skip
_READS = frozenset({"read_text", "read_bytes", "open"})
_parsed = lru_cache(maxsize=500)(Module)  # one process takes the fingerprints of all stages


class Node(NamedTuple):
    """A name in a module, or WHOLE or CONDITIONS."""

    module: str
    name: str


Target: TypeAlias = "Node | str"  # a project definition, or the dotted name of something else
Seen: TypeAlias = tuple[object, ...]  # the steps of a search, which imports may lead in circles
EVERYTHING = Node(WHOLE, WHOLE)  # all files of all packages


class Project:
    """The modules of some packages, and what names in them stand for."""

    def __init__(self, packages: Sequence[str]) -> None:
        self._roots = {package: _locate(package) for package in packages}
        self._modules: dict[str, Module | None] = {}
        self._dotted = re.compile(rf"(?:{'|'.join(packages)})(?:[.:]\w+)+")
        self._files = {n: p for root in self._roots.values() for n, p in data_files(root).items()}

    def find(self, function: str) -> list[Node]:
        """Return the definitions behind ``package.module:name``; raises StageError."""
        dotted, _, name = function.partition(":")
        module = self.module(dotted)
        found = self.lookup(module, (name,)) if module else []
        if nodes := [target for target in found if isinstance(target, Node)]:
            return nodes
        wrong = f"there is no module {dotted!r} in {', '.join(self._roots)}"
        if module:
            wrong = f"{module.file} defines no {name or 'function without a name'}"
        raise StageError(f"{function}: {wrong}. Name the function as package.module:function.")

    def module(self, dotted: str) -> Module | None:
        """Return a module of the packages, None if there is none of this name."""
        if dotted not in self._modules:
            self._modules[dotted] = self._read(dotted)
        return self._modules[dotted]

    def _read(self, dotted: str) -> Module | None:
        top, *parts = dotted.split(".")
        if top not in self._roots or not all(part.isidentifier() for part in parts):
            return None
        root, package = self._roots[top], dotted.replace(".", "/")
        try:
            for file in (f"{package}/__init__.py", f"{package}.py"):
                if (path := root.parent / file).is_file():
                    return _parsed(dotted, file, path.read_bytes(), path.stem == "__init__")
        except (SyntaxError, ValueError, OSError) as error:
            raise StageError(f"{dotted}: its source cannot be read: {error}") from error
        is_folder = (root.parent / package).is_dir()
        return _parsed(dotted, f"{package}/__init__.py", b"", True) if is_folder else None

    def statements(self, node: Node) -> list[Statement]:
        module = self.module(node.module)
        return module.statements_of(node.name) if module else []

    def lookup(self, module: Module, chain: Chain, seen: Seen = ()) -> list[Target]:
        """Return all that a chain of names may stand for in a module, in the order of binding."""
        name, rest, step = chain[0], chain[1:], (module.name, chain)
        if step in seen:
            return [Node(module.name, name)]  # imports in a circle, which define nothing
        targets: list[Target] = []
        for binder in [*module.binders.get(name, ()), *module.binders.get("*", ())]:
            if isinstance(binder, Statement):
                targets.append(Node(module.name, name))
            else:
                targets += self._imported(binder, rest, (*seen, step))
        return list(dict.fromkeys(targets))

    def _imported(self, source: Import, rest: Chain = (), seen: Seen = ()) -> list[Target]:
        """Return all that ``rest`` may stand for as attributes of what an import binds."""
        if source.name == "*" and self.module(source.module):
            return list(self.whole(source.module))
        return self._attribute(source.module, (*filter(None, [source.name]), *rest), seen)

    def _attribute(self, dotted: str, chain: Chain, seen: Seen = ()) -> list[Target]:
        module = self.module(dotted)
        if module is None:
            return [".".join([dotted, *chain])]
        if not chain:
            return list(self.whole(dotted))
        name, below = chain[0], f"{dotted}.{chain[0]}"
        targets = self.lookup(module, chain, seen)
        if module.is_package and self.module(below):
            targets += self._attribute(below, chain[1:], seen)
        if "__getattr__" in module.binders or not (targets or name == "__name__"):
            targets.append(Node(dotted, WHOLE))
        return targets

    def whole(self, dotted: str) -> Iterator[Node]:
        """Yield a module as a whole, with the modules below it that its attributes may be."""
        yield Node(dotted, WHOLE)
        top, *parts = dotted.split(".")
        module = self.module(dotted)
        if module and module.is_package:
            for path in sorted(self._roots[top].joinpath(*parts).iterdir()):
                if path.stem not in ("__init__", CACHE) and self.module(f"{dotted}.{path.stem}"):
                    yield from self.whole(f"{dotted}.{path.stem}")

    def meanings(self, node: Node) -> Iterator[tuple[str, tuple[Target, ...]]]:
        """Yield what stands for something else in a definition, with what it stands for."""
        if node == EVERYTHING:
            yield WHOLE, tuple(each for package in self._roots for each in self.whole(package))
        module = self.module(node.module)
        if module is None:
            return
        for statement in module.statements_of(node.name):
            for chain in statement.chains:
                if targets := self._meaning(module, statement, chain):
                    yield ".".join(chain), tuple(targets)
            for word in _DYNAMIC_WORDS & statement.words:
                yield word, (EVERYTHING,)
            for text in filter(self._dotted.fullmatch, statement.texts):
                yield text, tuple(self._named(text))
            # Whatever a class or a whole module imports is an attribute, which code may compute.
            nodes = statement.nodes if node.name == WHOLE else statement.eager
            for _, source in imports_in(nodes, module.package):
                yield ".".join(filter(None, source)), tuple(self._imported(source))

    def _meaning(self, module: Module, statement: Statement, chain: Chain) -> list[Target]:
        name, rest = chain[0], chain[1:]
        inside = (source for bound, source in statement.imports if bound == name)
        targets = [target for source in inside for target in self._imported(source, rest)]
        targets += self.lookup(module, chain)
        is_read = name in statement.bound or (len(chain) == 2 and chain[1] in _READS)
        used = (each for t in targets if isinstance(t, Node) for each in self.statements(t))
        leads_on = not is_read and any(each.data_file for each in used)  # to another file
        is_dynamic = any(map(_is_dynamic, targets or [f"builtins.{name}"]))
        return [*targets, EVERYTHING] if leads_on or is_dynamic else targets

    def _named(self, text: str) -> list[Target]:
        """Return what ``package.module.name`` or ``package.module:name`` in a text stands for."""
        top, *rest = re.split("[.:]", text)
        return [target for target in self._attribute(top, tuple(rest)) if target != (top, WHOLE)]

    def files_of(self, node: Node) -> dict[str, Path]:
        """Return the data files that a definition names, and those that these include."""
        module, found = self.module(node.module), dict[str, Path]()
        if module is None:
            return self._files if node == EVERYTHING else {}
        for statement in module.statements_of(node.name):
            for text in [statement.data_file] if statement.data_file else statement.texts:
                if not statement.data_file:
                    found |= files_named(text, self._files)
                beside = os.path.normpath(f"{os.path.dirname(module.file)}/{text}")
                path = self._roots[module.name.partition(".")[0]].parent / beside
                if (statement.data_file or ".." in text) and os.path.isfile(path):
                    found[beside] = path
        return with_included(found, self._files)


def _locate(package: str) -> Path:
    """Return a top-level package's folder."""
    spec = importlib.util.find_spec(package)  # imports nothing: there is no dot in the name
    if spec and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    raise StageError(f"{package}: no source of a package of this name. Is the project installed?")


def _is_dynamic(target: Target) -> bool:
    if not isinstance(target, str) or target in _STATIC_OBJECTS:
        return False
    return target in ("builtins", "sys") or f"{target}.".startswith(_DYNAMIC_OBJECTS)
