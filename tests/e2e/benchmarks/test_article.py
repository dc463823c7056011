"""The article's network learns in both ways, on the same reviews."""

import bz2
import json
from pathlib import Path

import pytest

from benchmarks.article import main
from tests.support.reviews import as_line, made_up_reviews


def test_both_ways_learn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.article.in_fresh_process", lambda way, *given: way(*given))
    (tmp_path / "data").mkdir()
    for split, rows in (("train", 400), ("test", 200)):
        lines = [as_line(*review) + b"\n" for review in made_up_reviews(rows, seed=rows)]
        (tmp_path / f"data/{split}.ft.txt.bz2").write_bytes(bz2.compress(b"".join(lines)))
    settings = [
        "train.model.embedding_size=8",
        "train.model.hidden_size=8",
        "train.batch_size=10",
        "train.epochs=8",
        "tensors.max_length=30",
    ]
    arguments = [word for setting in settings for word in ("--set", setting)]
    places = ["--data", str(tmp_path / "data"), "--json", str(tmp_path / "out.json")]
    assert main([*places, "--rows", "300", "--seeds", "1", "2", *arguments]) == 0
    ways = json.loads((tmp_path / "out.json").read_text())["ways"]
    names = ("plain loops", "preset article")
    assert list(ways) == [f"{name}, seed {seed}" for seed in (1, 2) for name in names]
    for way in ways.values():
        assert way["test_rows"] == 100
        assert way["accuracy"] > 0.7
        assert way["training_seconds"] > 0
    assert "300 training reviews, 100 test reviews" in capsys.readouterr().out
