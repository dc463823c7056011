"""The profile of a step names all of its time."""

import json
from pathlib import Path

import pytest

from benchmarks import step
from sentiment.data.generate import write_sample
from tests.support.runs import TINY


def test_the_command_prints_and_writes_the_shares(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sample(tmp_path / "data", train=200, test=60, seed=1)
    changes = [word for setting in TINY for word in ("--set", setting)]
    out = tmp_path / "step.json"
    command = ["--data", str(tmp_path / "data"), "--preset", "sample", "--steps", "2"]
    assert step.main([*command, *changes, "--json", str(out)]) == 0
    result = json.loads(out.read_text())
    assert result["seconds"] > 0
    assert sum(result["parts"].values()) == pytest.approx(1)
    assert result["parts"]["LSTM"] > 0
    assert result["parts"]["optimizer"] > 0
    assert "dropout masks" in capsys.readouterr().out


def test_an_operator_that_no_part_names_is_in_the_rest() -> None:
    parts = step.parts_of({"aten::mkldnn_rnn_layer": 3.0, "aten::bernoulli_": 0.5, "copy_": 0.5})
    assert parts["LSTM"] == 0.75
    assert parts["dropout masks"] == parts[step.REST] == 0.125
    assert next(iter(parts)) == "LSTM" and next(reversed(parts)) == step.REST
