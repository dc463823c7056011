"""The learning curve has a point for each number of reviews, and one for all."""

import json
from pathlib import Path

import pytest

from benchmarks.learning_curve import main
from sentiment.data.generate import write_sample


def test_the_command_measures_and_draws_each_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sample(tmp_path / "data", train=300, test=200, seed=1)
    settings = ["train.epochs=1", "train.model.hidden_size=4", "vocabulary.min_count=1"]
    arguments = [word for setting in settings for word in ("--set", setting)]
    for name, place in (
        ("data", "data"),
        ("storage", "storage"),
        ("json", "out.json"),
        ("picture", "curve.png"),
    ):
        arguments += [f"--{name}", str(tmp_path / place)]
    assert main(["--preset", "sample", "--sizes", "200", *arguments]) == 0
    points = json.loads((tmp_path / "out.json").read_text())["points"]
    assert [each["train"] for each in points] == [200, 300]
    for each in points:
        assert each["test"] == 100
        difference = each["model"]["accuracy"] - each["linear"]["accuracy"]
        assert each["difference"] == pytest.approx(difference)
        low, high = each["model"]["interval"]
        assert low <= each["model"]["accuracy"] <= high
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert f"{100 * points[0]['linear']['accuracy']:.2f}" in printed
