"""What the command line does before any command."""

from importlib.metadata import version

from typer.testing import CliRunner

from flows.cli.main import app


def test_the_version_is_that_of_the_installed_package() -> None:
    shown = CliRunner().invoke(app, ["--version"])
    assert (shown.exit_code, shown.stdout) == (0, f"sentiment {version('review-sentiment')}\n")
