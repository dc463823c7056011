"""``sentiment explain`` on a bundle of random weights."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.main import app
from tests.support.bundles import write_random_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_bundle(tmp_path_factory.mktemp("bundle"))


def explain(bundle: Path, *arguments: str) -> str:
    given = ["explain", "a lovely, unheard-of lamp", "--model", str(bundle), *arguments]
    result = CliRunner().invoke(app, given, catch_exceptions=False, env={"COLUMNS": "80"})
    assert result.exit_code == 0, result.output
    return result.stdout


def test_words_and_their_sum_are_shown_within_80_columns(bundle: Path) -> None:
    shown = explain(bundle)
    assert "P(positive) 0." in shown
    assert "a lovely , unheard-of lamp" in shown
    assert "Attributions add up to" in shown
    assert "unheard-of (unknown)" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_json_holds_every_word(bundle: Path) -> None:
    explanation = json.loads(explain(bundle, "--json"))
    assert explanation["words"] == ["a", "lovely", ",", "unheard-of", "lamp"]
    assert len(explanation["attributions"]) == len(explanation["forward"]["forget"]) == 5
    gained = explanation["logit"] - explanation["baseline"]
    assert sum(explanation["attributions"]) == pytest.approx(gained, abs=0.01)


def test_the_page_is_written(bundle: Path, tmp_path: Path) -> None:
    explain(bundle, "--html", str(tmp_path / "page.html"))
    assert "<svg" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_linear_model_has_no_gates_to_show(tmp_path: Path) -> None:
    linear = {"embedding_size": 128, "hidden_size": 128, "lstm": False}
    shown = explain(write_random_bundle(tmp_path, **linear))
    assert "Attributions add up to" in shown
    assert "Gates" not in shown and "forget" not in shown
