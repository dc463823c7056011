"""``sentiment compare``: what it prints, and what it writes."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.main import app
from tests.support.bundles import write_random_bundle


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("bundles")
    for name, size in (("one", 5), ("two", 6)):
        (folder / name).mkdir()
        write_random_bundle(folder / name, hidden_size=size)
    return [str(folder / "one"), str(folder / "two"), "--storage", str(folder / "storage")]


def compare(*arguments: str) -> str:
    given = ["compare", *arguments]
    result = CliRunner().invoke(app, given, catch_exceptions=False, env={"COLUMNS": "80"})
    assert result.exit_code == 0, result.output
    return result.stdout


def test_settings_that_differ_are_printed(bundles: list[str]) -> None:
    lines = compare(*bundles).splitlines()
    assert lines[0].startswith("This storage has no evaluation of")
    row = next(line.split() for line in lines if line.startswith("train.model.hidden_size"))
    assert row[1:] == ["5", "6"]


def test_json_and_page_are_written(bundles: list[str], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    content = json.loads(compare(*bundles, "--json", "--html", str(page)))
    assert content["settings"] == {"train.model.hidden_size": [5, 6]}
    assert "train.model.hidden_size" in page.read_text(encoding="utf-8")
