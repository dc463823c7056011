"""Imports run one way: flows -> tasks -> sentiment, and sentiment knows no Prefect."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN = {
    "sentiment": {"tasks", "flows", "prefect", "typer"},
    "tasks": {"flows", "typer"},
    "flows": set(),
}
# The rooms of sentiment, lowest first: each imports only lower ones.
STACK = (
    {"errors", "files", "progress", "settings"},
    {"data", "text"},
    {"model"},
    {"training", "explain"},
    {"classifier"},
    {"evaluation"},
    {"scoring", "reports"},
)
# The store has to be usable without Prefect, for `plan` and for tests.
PREFECT_IN_TASKS = {"prefect_task.py"}


def imported(path: Path) -> set[str]:
    """Return the top-level packages that a module imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import hides the layer"
            names.add((node.module or "").split(".")[0])
    return names


@pytest.mark.parametrize("package", FORBIDDEN)
def test_no_import_runs_against_the_layers(package: str) -> None:
    modules = sorted((ROOT / package).rglob("*.py"))
    assert modules
    wrong = {
        str(path.relative_to(ROOT)): found
        for path in modules
        if (found := imported(path) & FORBIDDEN[package])
    }
    assert wrong == {}


def test_only_one_module_loads_prefect_in_tasks() -> None:
    loading = {p.name for p in (ROOT / "tasks").rglob("*.py") if "prefect" in imported(p)}
    assert loading == PREFECT_IN_TASKS


def rooms_imported(path: Path) -> set[str]:
    """Return the rooms of sentiment that a module imports, anywhere in it."""
    dotted = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            dotted |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            dotted |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.split(".")[1] for name in dotted if name.startswith("sentiment.")}


def test_no_room_of_sentiment_imports_one_beside_or_above_it() -> None:
    wrong = {}
    for level, rooms in enumerate(STACK):
        lower = set().union(*STACK[:level])
        for room in rooms:
            folder = ROOT / "sentiment" / room
            modules = sorted(folder.rglob("*.py")) or [folder.with_suffix(".py")]
            found = set().union(*map(rooms_imported, modules)) - lower - {room}
            if found:
                wrong[room] = found
    assert wrong == {}


def test_the_stack_names_every_room_of_sentiment() -> None:
    present = {p.stem for p in (ROOT / "sentiment").iterdir() if p.suffix == ".py" or p.is_dir()}
    assert present - {"__init__", "__pycache__"} == set().union(*STACK)
