"""Imports run one way: flows -> tasks -> sentiment, and down a stack of subpackages inside them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN = {
    "sentiment": {"tasks", "flows", "prefect", "typer"},
    "tasks": {"flows", "typer"},
    "flows": set(),
}
# The store has to be usable without Prefect, for `plan` and for tests.
PREFECT_IN_TASKS = {"prefect_task.py"}

# A part (a subpackage, or a module beside them) imports from itself and from the layers below it.
STACKS = {
    "sentiment": (
        {"settings", "errors", "progress", "files"},
        {"data"},
        {"text"},
        {"model"},
        {"training", "explain"},
        {"classifier"},
        {"evaluation"},
        {"scoring", "reports"},
    ),
    "flows": (
        {"config", "steps"},
        {"ui", "server", "study"},
        {"run"},
        {"pipeline", "tune", "score", "gc"},
        {"cli"},
    ),
}
MOST_FILES = 19  # in a folder


def imports(path: Path) -> Iterator[str]:
    """Yield the dotted names of the modules that a module imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import hides the layer"
            module = node.module or ""
            yield module
            # `from package import module`
            yield from (
                f"{module}.{alias.name}"
                for alias in node.names
                if is_module(f"{module}.{alias.name}")
            )


def is_module(dotted: str) -> bool:
    path = ROOT / dotted.replace(".", "/")
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def modules(package: str) -> dict[str, set[str]]:
    """Return what each module of a package imports from it, by dotted names."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        inner = {name for name in imports(path) if is_module(name) and name != package}
        found[dotted.removesuffix(".__init__")] = {
            name for name in inner if name.split(".")[0] == package
        }
    return found


@pytest.mark.parametrize("package", FORBIDDEN)
def test_no_import_runs_against_the_layers(package: str) -> None:
    paths = sorted((ROOT / package).rglob("*.py"))
    assert paths
    wrong = {
        str(path.relative_to(ROOT)): found
        for path in paths
        if (found := {name.split(".")[0] for name in imports(path)} & FORBIDDEN[package])
    }
    assert wrong == {}


def test_only_one_module_loads_prefect_in_tasks() -> None:
    loading = {
        path.name
        for path in (ROOT / "tasks").rglob("*.py")
        if "prefect" in {name.split(".")[0] for name in imports(path)}
    }
    assert loading == PREFECT_IN_TASKS


def test_only_one_module_loads_the_client_of_object_storages() -> None:
    paths = [path for package in FORBIDDEN for path in (ROOT / package).rglob("*.py")]
    loading = {p.name for p in paths if "obstore" in {name.split(".")[0] for name in imports(p)}}
    assert loading == {"objects.py"}


@pytest.mark.parametrize("package", STACKS)
def test_the_parts_of_a_package_are_a_stack(package: str) -> None:
    layers = {part: layer for layer, parts in enumerate(STACKS[package]) for part in parts}
    wrong = []
    for module, imported in modules(package).items():
        if module == package:  # which hands on the Classifier
            continue
        part = module.split(".")[1]
        for name in imported:
            below = name.split(".")[1]
            if below != part and layers[below] >= layers[part]:
                wrong.append(f"{module} imports {name}")
    assert wrong == []


@pytest.mark.parametrize("package", FORBIDDEN)
def test_no_modules_import_each_other_in_a_circle(package: str) -> None:
    graph = modules(package)
    for name, inner in graph.items():  # a package's own module hands on those inside it
        inner -= {name, name.rpartition(".")[0]}
    while leaves := {name for name, inner in graph.items() if not inner & graph.keys()}:
        graph = {name: inner for name, inner in graph.items() if name not in leaves}
    assert graph == {}


@pytest.mark.parametrize("package", FORBIDDEN)
def test_no_folder_is_crowded(package: str) -> None:
    folders = [path for path in (ROOT / package).rglob("*") if path.is_dir()]
    counts = {
        str(folder.relative_to(ROOT)): len([*folder.glob("*.py")])
        for folder in [ROOT / package, *folders]
    }
    assert {name: count for name, count in counts.items() if count > MOST_FILES} == {}


def test_packages_inside_sentiment_are_empty() -> None:
    """Importing a package runs its code, which would count for every stage that reaches into it."""
    filled = [p for p in (ROOT / "sentiment").glob("*/__init__.py") if p.read_text()]
    assert filled == []
