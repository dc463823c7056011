"""The GPU benchmark takes all its parts; here on the CPU with a tiny model."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import gpu
from sentiment.data.generate import write_sample
from tests.support.runs import TINY


def directly(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


def test_the_command_prints_and_writes_all_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu, "in_fresh_process", directly)
    monkeypatch.setattr(gpu, "STEPS", 2)
    write_sample(tmp_path / "data", train=200, test=60, seed=1)
    changes = [word for setting in TINY for word in ("--set", setting)]
    out = tmp_path / "gpu.json"
    command = ["--data", str(tmp_path / "data"), "--device", "cpu", "--presets", "sample"]
    assert gpu.main([*command, *changes, "--json", str(out)]) == 0

    result = json.loads(out.read_text())
    assert {way["way"] for way in result["article"]["ways"]} >= {"plain", "buckets, float32"}
    (steps,) = result["steps"]
    assert steps["precision"] == "float32"
    assert len(steps["seconds_a_step"]) == gpu.REPEATS + 1
    (run,) = result["runs"]
    assert run["rows"] == 200 and 0 <= run["accuracy"] <= 1
    assert run["history"][-1]["step"] == run["steps"]
    assert run["history"][-1]["validation_loss"] is not None
    printed = capsys.readouterr().out
    assert "sample, float32" in printed and "Losses of sample" in printed


@pytest.mark.skipif(gpu.torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main(["--data", "nowhere"]) == 1
    assert "no CUDA GPU here" in capsys.readouterr().err
