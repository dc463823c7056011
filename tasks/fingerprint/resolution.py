"""What names stand for across the modules of some packages, found without importing any."""

import importlib.util
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeAlias

from sentiment.errors import StageError
from tasks.fingerprint.data_files import DataFiles
from tasks.fingerprint.modules import WHOLE, Import, Module, Statement, read_module
from tasks.fingerprint.syntax import Chain

FILES = "<files>"  # stands for all files of a package that are not Python
_MODULE_ATTRIBUTES = frozenset({"__name__", "__doc__", "__package__"})
_READS = frozenset({"read_text", "read_bytes", "open"})

# What finds code at run time, by any name. These are objects of other modules, builtins, words.
_DYNAMIC_OBJECTS = (
    "builtins", "code", "doctest", "gc", "imp", "importlib", "inspect", "marshal", "os.popen",
    "os.system", "pickle", "pkgutil", "pty", "runpy", "shelve", "subprocess",
    "sys._current_frames", "sys._getframe", "sys.meta_path", "sys.modules", "sys.path_hooks",
    "timeit", "torch.load", "trace",
)  # fmt: skip
_STATIC_OBJECTS = ("importlib.metadata", "importlib.resources", "importlib.util.find_spec")
_DYNAMIC_BUILTINS = frozenset({"__builtins__", "__import__", "eval", "exec", "globals"})
_DYNAMIC_WORDS = frozenset({
    "__builtins__", "__globals__", "__import__", "__loader__", "__path__", "__self__", "__spec__",
    "__subclasses__", "exec_module", "f_back", "f_globals", "get_code", "get_data", "get_source",
    "gi_frame", "load_module", "tb_frame",
    # These read what people read, which else does not count.
    "__doc__", "addFilter", "addHandler", "description", "getdoc", "Handler",
    "model_json_schema", "setLogRecordFactory", "use_attribute_docstrings",
})  # fmt: skip
_RESOURCES = (
    "importlib.metadata", "importlib.resources", "importlib_resources", "jinja2.PackageLoader",
    "pkg_resources",
)  # fmt: skip


class Node(NamedTuple):
    """A name in a module, or one of the signs that stand for more than a name."""

    module: str
    name: str


Target: TypeAlias = "Node | str"  # a project definition, or the dotted name of something else
EVERYTHING = Node(WHOLE, WHOLE)  # all files of all packages


class Project:
    """The modules of some packages, and what names in them stand for."""

    def __init__(self, packages: Sequence[str]) -> None:
        self._roots = {package: _locate(package) for package in packages}
        self._modules: dict[str, Module | None] = {}
        self._dotted = re.compile(rf"(?:{'|'.join(packages)})(?:\.\w+)*(?::[\w.]+)?")
        self.data_files = {package: DataFiles(root) for package, root in self._roots.items()}

    def find(self, function: str) -> list[Node]:
        """Return the definitions behind ``package.module:name``; raises StageError."""
        dotted, _, name = function.partition(":")
        module = self.module(dotted)
        found = self.lookup(module, name) if module else []
        nodes = [target for target in found if isinstance(target, Node)]
        if nodes:
            return nodes
        wrong = (
            f"{module.file} defines no {name or 'function without a name'}"
            if module
            else f"there is no module {dotted!r} in {', '.join(self._roots)}"
        )
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
        path, folder = self._roots[top].joinpath(*parts), self._roots[top].parent
        files = [path / "__init__.py", path.with_name(f"{path.name}.py")]
        try:
            for file in files:
                if file.is_file():
                    return read_module(dotted, file, folder)
        except (SyntaxError, ValueError, OSError) as error:
            raise StageError(f"{dotted}: its source cannot be read: {error}") from error
        name = files[0].relative_to(folder).as_posix()
        return Module(dotted, name, b"", is_package=True) if path.is_dir() else None

    def statements(self, node: Node) -> list[Statement]:
        module = self.module(node.module)
        return module.statements_of(node.name) if module else []

    def lookup(
        self, module: Module, name: str, rest: Chain = (), seen: frozenset[object] = frozenset()
    ) -> list[Target]:
        """Return all that ``name.rest`` may stand for in a module, in the order of binding."""
        step = (module.name, name, rest)
        if step in seen:
            return []
        targets: list[Target] = []
        for binder in [*module.binders.get(name, ()), *module.binders.get("*", ())]:
            if isinstance(binder, Statement):
                targets.append(Node(module.name, name))
            else:
                targets += self.imported(binder, rest, seen | {step})
        return list(dict.fromkeys(targets))

    def imported(
        self, source: Import, rest: Chain = (), seen: frozenset[object] = frozenset()
    ) -> list[Target]:
        """Return all that ``rest`` may stand for as attributes of what an import binds."""
        if source.name == "*":
            known = self.module(source.module)
            return [*self.whole(source.module)] if known else [f"{source.module}.*"]
        return self._attribute(source.module, (*filter(None, [source.name]), *rest), seen)

    def _attribute(self, dotted: str, chain: Chain, seen: frozenset[object]) -> list[Target]:
        module = self.module(dotted)
        if module is None:
            return [".".join([dotted, *chain])]
        if not chain:
            return list(self.whole(dotted))
        step = (dotted, *chain)
        if step in seen:
            return []
        name, *rest = chain
        if name == "__file__":
            return [Node(dotted.partition(".")[0], FILES)]
        targets = self.lookup(module, name, tuple(rest), seen)
        below = module.is_package and self.module(f"{dotted}.{name}")
        if below:
            targets += self._attribute(below.name, tuple(rest), seen | {step})
        is_circular = (dotted, name, tuple(rest)) in seen
        is_missing = not (targets or below or is_circular or name in _MODULE_ATTRIBUTES)
        if is_missing or "__getattr__" in module.binders:
            targets.append(Node(dotted, WHOLE))
        return targets

    def whole(self, dotted: str) -> Iterator[Node]:
        """Yield a module as a whole, with the modules below it that its attributes may be."""
        yield Node(dotted, WHOLE)
        top, *parts = dotted.split(".")
        module = self.module(dotted)
        if module and module.is_package:
            for path in sorted(self._roots[top].joinpath(*parts).iterdir()):
                is_source = path.suffix in ("", ".py") and path.stem != "__init__"
                if is_source and self.module(f"{dotted}.{path.stem}"):
                    yield from self.whole(f"{dotted}.{path.stem}")

    def everything(self) -> Iterator[Node]:
        for top in self._roots:
            yield from self.whole(top)
            yield Node(top, FILES)

    def meanings(self, node: Node) -> dict[str, tuple[Target, ...]]:
        """Return what each name in a definition stands for, but for builtins and local names."""
        found: dict[str, list[Target]] = {}
        for label, targets in self._meanings_in(node):
            found.setdefault(label, []).extend(targets)
        return {
            label: tuple(dict.fromkeys(found[label])) for label in sorted(found) if found[label]
        }

    def _meanings_in(self, node: Node) -> Iterator[tuple[str, list[Target]]]:
        module = self.module(node.module)
        if module is None:
            return
        files = Node(module.name.partition(".")[0], FILES)
        for statement in module.statements_of(node.name):
            for chain in statement.chains:
                targets = self._meaning(module, statement, chain)
                if any(_is_of(target, _RESOURCES) for target in targets):
                    targets.append(files)
                is_here = chain == ("__file__",) and not self._is_file_of(module, statement)
                is_own = chain[0] in statement.bound
                if is_here or any(self._is_computed(t, chain) and not is_own for t in targets):
                    targets.append(files)
                is_builtin = not targets and chain[0] in _DYNAMIC_BUILTINS
                if is_builtin or "sys" in targets or any(map(_is_dynamic, targets)):
                    targets.append(EVERYTHING)
                yield ".".join(chain), targets
            for word in _DYNAMIC_WORDS & statement.words:
                yield word, [EVERYTHING]
            for text in statement.texts:
                if self._dotted.fullmatch(text):
                    yield text, self._named(text)
        for source in module.imports if node.name == WHOLE else ():
            yield ".".join(filter(None, source)), self.imported(source)

    def _meaning(self, module: Module, statement: Statement, chain: Chain) -> list[Target]:
        name, *rest = chain
        inside = (source for bound, source in statement.imports if bound == name)
        targets = [t for source in inside for t in self.imported(source, tuple(rest))]
        return targets + self.lookup(module, name, tuple(rest))

    def _is_file_of(self, module: Module, statement: Statement) -> bool:
        """Whether a statement names one data file and does no more."""
        return bool(statement.data_file) and self.lookup(module, "Path") == ["pathlib.Path"]

    def _is_computed(self, target: Target, chain: Chain) -> bool:
        """Whether a chain may lead from the path of a data file to another file."""
        if isinstance(target, str) or not any(s.data_file for s in self.statements(target)):
            return False
        name = chain[-2] if len(chain) > 2 else target.name
        return len(chain) == 1 or chain[-1] not in _READS or name != target.name

    def _named(self, text: str) -> list[Target]:
        """Return what ``package.module``, ``package.module:name`` in a string stands for."""
        dotted, _, name = text.partition(":")
        rest = name.split(".") if name else []
        while "." in dotted or (dotted and rest):
            module = self.module(dotted)
            if module and rest:
                return self.lookup(module, rest[0], tuple(rest[1:]))
            if module:
                return list(self.whole(dotted))
            dotted, _, last = dotted.rpartition(".")
            rest.insert(0, last)
        return []

    def files_of(self, statement: Statement, dotted: str) -> Iterator[tuple[str, Path]]:
        """Yield the data files that a statement of a module names, and what those include."""
        module = self.module(dotted)
        file = module.file if module else ""
        files = self.data_files[dotted.partition(".")[0]]
        texts = [statement.data_file] if statement.data_file else statement.texts
        for text in texts:
            for name, path in files.named(text, file):
                yield name, path
                yield from files.included(path)


def _locate(package: str) -> Path:
    """Return a top-level package's folder."""
    try:
        spec = importlib.util.find_spec(package)  # imports nothing: there is no dot in the name
    except (ImportError, ValueError):
        spec = None
    if spec and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    raise StageError(f"{package}: no source of a package of this name. Is the project installed?")


@cache
def _is_of(target: Target, names: tuple[str, ...]) -> bool:
    """Whether a target is one of these objects, or a part of one."""
    return isinstance(target, str) and any(f"{target}.".startswith(f"{n}.") for n in names)


@cache
def _is_dynamic(target: Target) -> bool:
    if target == "sys" or str(target).startswith(("os.exec", "os.posix_spawn", "os.spawn")):
        return True  # sys itself as a value, and new processes
    return _is_of(target, _DYNAMIC_OBJECTS) and not _is_of(target, _STATIC_OBJECTS)
