"""``sentiment predict`` on lines that are not texts."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.cli.main import app
from tests.support.bundles import with_settings, write_random_bundle

LINES = b"a lovely lamp\n\ncaf\xe9 lamp\r\nawful\n"


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(write_random_bundle(tmp_path))


def test_a_line_that_is_not_text_keeps_its_place_and_affects_no_other(model: str) -> None:
    done = CliRunner().invoke(app, ["predict", "--json", "--model", model], input=LINES)
    entries = [json.loads(line) for line in done.stdout.splitlines()]
    assert [entry["text"] for entry in entries] == ["a lovely lamp", "", "caf\ufffd lamp", "awful"]
    assert [entry["probability"] is None for entry in entries] == [False, True, True, False]
    assert "No prediction for 1 empty text." in done.stderr
    assert "No prediction for 1 invalid UTF-8 text." in done.stderr
    alone = CliRunner().invoke(app, ["predict", "--json", "--model", model, "awful"])
    assert json.loads(alone.stdout)["probability"] == pytest.approx(entries[3]["probability"])


def test_a_fasttext_label_is_not_part_of_a_text(model: str) -> None:
    lines = b"__label__2 a lovely lamp\na lovely lamp\n__label__1\nno __label__1 here\n"
    done = CliRunner().invoke(app, ["predict", "--json", "--model", model], input=lines)
    entries = [json.loads(line) for line in done.stdout.splitlines()]
    texts = ["a lovely lamp", "a lovely lamp", "", "no __label__1 here"]
    assert [entry["text"] for entry in entries] == texts
    assert entries[0] == entries[1] and entries[2]["probability"] is None
    given = CliRunner().invoke(
        app, ["predict", "--json", "--model", model, "__label__2 a lovely lamp"]
    )
    assert json.loads(given.stdout)["text"] == "a lovely lamp"


def test_signs_that_control_a_terminal_are_written_out(model: str) -> None:
    texts = [
        "red \x1b[31m lamp",
        "two\nlines",
        "c1 \x9b2J",
        "evil \u202egnp",
        "caf\u00e9 \U0001f44d\u200d",
    ]
    done = CliRunner().invoke(app, ["predict", "--model", model, *texts])
    assert [line.partition("  P(positive) ")[2][7:] for line in done.stdout.split("\n")[:-1]] == [
        r"red \x1b[31m lamp",
        r"two\nlines",
        r"c1 \x9b2J",
        r"evil \u202egnp",
        texts[-1],
    ]


def test_an_argument_of_invalid_utf_8_has_no_prediction(model: str) -> None:
    done = CliRunner().invoke(app, ["predict", "--model", model, "caf\udce9", "lamp"])
    first, second = done.stdout.splitlines()
    assert first == "invalid UTF-8  P(positive)     -  caf\ufffd"
    assert second.endswith("  lamp")


def test_the_label_is_that_of_the_models_threshold(tmp_path: Path) -> None:
    model = str(write_random_bundle(tmp_path))

    def answer() -> Any:
        done = CliRunner().invoke(app, ["predict", "--json", "--model", model, "a lovely lamp"])
        assert done.stderr == ""
        return json.loads(done.stdout)

    chance = answer()["probability"]
    for threshold, label in ((chance - 0.01, "positive"), (chance + 0.01, "negative")):
        with_settings(tmp_path, threshold=threshold)
        assert (answer()["label"], answer()["probability"]) == (label, chance)


@pytest.mark.parametrize("command", ["predict", "explain"])
def test_a_model_of_generated_reviews_is_named_on_stderr(tmp_path: Path, command: str) -> None:
    model = str(write_random_bundle(tmp_path))
    real = CliRunner().invoke(app, [command, "a lovely lamp", "--model", model])
    with_settings(tmp_path, generated=True)
    done = CliRunner().invoke(app, [command, "a lovely lamp", "--model", model])
    assert done.stdout == real.stdout
    assert real.stderr == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("Warning: this model was trained on generated reviews")


def test_few_known_words_are_said(model: str) -> None:
    texts = ["a lovely lamp", "eine lovely Lampe", "\u975e\u5e38\u597d", "lovely chair"]
    done = CliRunner().invoke(app, ["predict", "--json", "--model", model, *texts])
    entries = [json.loads(line) for line in done.stdout.splitlines()]
    counts = [(entry["words"], entry["known"]) for entry in entries]
    assert counts == [(3, 3), (3, 1), (1, 0), (2, 1)]
    assert "1 of 3 words known: eine lovely Lampe" in done.stderr
    assert "0 of 1 words known: \u975e\u5e38\u597d" in done.stderr
    assert "fewer than half of the words of 2 texts" in " ".join(done.stderr.split())
    alone = CliRunner().invoke(app, ["predict", "--model", model, "a lovely lamp"])
    assert alone.stderr == ""
