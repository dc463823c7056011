"""The command line itself: its version, its help, its answers to wrong options."""

from importlib.metadata import version
from pathlib import Path

import pytest
from rich.table import Table
from typer.testing import CliRunner

from flows.cli.main import app, main
from flows.cli.options import show
from flows.steps import STAGE_NAMES


def test_the_version_is_that_of_the_installed_package() -> None:
    shown = CliRunner().invoke(app, ["--version"])
    assert (shown.exit_code, shown.stdout) == (0, f"sentiment {version('review-sentiment')}\n")


def help_of(*command: str, columns: int = 80) -> str:
    done = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": str(columns)})
    return done.stdout


COMMANDS = [(), ("run",), ("score",), ("up",), ("models", "list"), ("settings",)]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_shows_flags_without_a_type_and_is_not_wider_than_can_be_read(
    command: tuple[str, ...],
) -> None:
    assert "<bool>" not in help_of(*command)
    assert max(map(len, help_of(*command, columns=250).splitlines())) <= 100
    assert max(map(len, help_of(*command, columns=80).splitlines())) <= 80


@pytest.mark.parametrize("command", ["run", "plan"])
def test_the_help_names_the_stages(command: str) -> None:
    text = " ".join(help_of(command).split())
    assert f"Stages: {', '.join(STAGE_NAMES)}." in text


def test_a_text_that_begins_with_a_dash_is_told_from_an_option() -> None:
    done = CliRunner().invoke(app, ["predict", "--terrible"])
    assert done.exit_code == 2
    assert "No such option: --terrible. If it is a text," in done.stderr
    assert "If it is a text," not in CliRunner().invoke(app, ["predict", "--model"]).stderr


def test_an_error_of_the_system_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as ended:
        main(["up", "--folder", str(tmp_path / "file"), "--no-gpu"])
    assert ended.value.code == 1
    shown = " ".join(capsys.readouterr().err.split())
    assert shown.startswith(f"Error: {tmp_path}/file: File exists.")
    assert "Traceback" not in shown


def test_in_a_pipe_a_table_has_a_line_for_each_row(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("name", "words")
    table.add_row("short", "word")
    table.add_row("long", "word " * 100)
    show(table)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["name", "short", "long"]
    assert all(line == line.rstrip() for line in lines)
