"""The training benchmark compares equal work, and runs."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import train
from benchmarks.support import training_ways
from benchmarks.support.compare import Disagreement
from sentiment.training.step import training_step

SMALL = ["--device", "cpu", "--batch-size", "4", "--vocabulary", "50", "--embedding", "4"]
SMALL += ["--hidden", "4", "--max-length", "12", "--steps", "2", "--repeats", "1"]


def test_it_prints_and_writes_its_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "train.json"
    assert train.main([*SMALL, "--json", str(out)]) == 0
    assert "Same losses" in capsys.readouterr().out
    ways = {way["way"]: way for way in json.loads(out.read_text())["ways"]}
    assert list(ways) == ["plain", "left, float32", "buckets, float32"]
    assert all(len(way["seconds_a_step"]) == 1 for way in ways.values())
    assert ways["plain"]["ratio"] == 1 and ways["plain"]["bar"] is None


def test_another_result_is_reported_and_nothing_timed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def other(*arguments: Any) -> Any:
        return training_step(*arguments) + 0.001

    monkeypatch.setattr(training_ways, "training_step", other)
    assert train.main(SMALL) == 1
    assert "The loss of step 1 is" in capsys.readouterr().err


def test_an_optimizer_that_differs_shows_in_the_second_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = train.parse(SMALL)
    make = training_ways.make_optimizer

    def slower(model: Any, config: Any) -> Any:
        return make(model, config.model_copy(update={"learning_rate": 0.001}))

    monkeypatch.setattr(training_ways, "make_optimizer", slower)
    with pytest.raises(Disagreement, match="of step 2"):
        train.measure(options)


def test_the_work_of_a_step_is_counted_by_hand() -> None:
    options = train.parse(["--embedding", "2", "--hidden", "3"])
    # Two layers of 4 gates: 3 x (2 + 3) and 3 x (3 + 3) weights; 2 operations forward, 4 backward.
    assert train.step_work(training_ways.article_model(options), 10) == 6 * (4 * 15 + 4 * 18) * 10
