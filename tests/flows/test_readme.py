"""The commands in the README and the docs exist, and their output is what is printed."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from flows.cli.main import app
from flows.config.presets import preset_names
from flows.ui.run_summary import result_table

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "storage/README.md"]


def console_lines(text: str) -> list[str]:
    """Return the commands that the console blocks show."""
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


COMMANDS = [line for page in PAGES for line in console_lines(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("sentiment ")])
def test_a_shown_command_is_valid(line: str) -> None:
    _, name, *arguments = shlex.split(line, comments=True)
    group = typer.main.get_command(app)
    command = group.commands[name]  # type: ignore[attr-defined]
    while hasattr(command, "commands"):
        name, *arguments = arguments
        command = command.commands[name]
    context = command.make_context(name, arguments)  # a wrong option raises; nothing is run
    assert context.info_name == name


def test_the_readme_shows_commands_of_every_kind() -> None:
    kinds = {line.split()[0] for line in COMMANDS}
    assert {"make", "sentiment"} <= kinds


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("make ")])
def test_a_shown_target_is_in_the_makefile(line: str) -> None:
    target = line.split()[1]
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_make_alone_lists_every_target() -> None:
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", makefile, re.MULTILINE))
    assert set(re.findall(r"^make ([a-z0-9-]+) ", listed, re.MULTILINE)) == targets - {"help"}


def test_the_presets_named_exist() -> None:
    named = re.findall(r"presets/(\w+)\.yaml", README)
    assert set(named) == set(preset_names())


def help_of(command: str) -> str:
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "80"})
    return " ".join(result.stdout.replace("│", " ").split())


@pytest.mark.parametrize(
    "command, extra", [("explain", "explain"), ("export", "onnx"), ("tune", "tune")]
)
def test_the_help_names_the_extra_that_a_command_needs(command: str, extra: str) -> None:
    assert f"pip install -c constraints.txt -e '.[{extra}]'" in help_of(command)


@pytest.mark.parametrize("command", ["run", "plan", "tune"])
def test_the_help_names_every_preset(command: str) -> None:
    listed = help_of(command).partition("Preset: ")[2].partition(", or the path")[0]
    assert set(listed.split(", ")) == set(preset_names())


def test_the_shown_outcome_has_the_rows_that_a_run_prints() -> None:
    result = {
        "rows": 1,
        "rejected": 0,
        "rejected_by_reason": {},
        "vocabulary_size": 1,
        "accuracy": 0.5,
        "accuracy_interval": [0.4, 0.6],
        "mcc": 0.0,
        "comparison": [
            {
                "name": name,
                "label": "positive",
                "accuracy": 0.5,
                "accuracy_interval": None,
                "mcc": 0.0,
            }
            for name in ("model", "baseline", "majority")
        ],
        "warning": None,
        "loss": 0.1,
        "promotion": {"outcome": "promoted", "reason": "promoted: 50.00%, the first champion"},
        "model": "/m",
        "report": "/r",
        "stages": [],
    }
    rows = [str(cell) for cell in result_table(result, generated=True).columns[0].cells]
    page = (ROOT / "docs/first-run.md").read_text(encoding="utf-8")
    shown = re.findall(r"^│ ([a-z ]+?) +│", page, re.MULTILINE)
    assert shown == rows


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []
