"""Scoring is measured exactly, fast and beside simpler models, on the same reviews."""

import json
from pathlib import Path

import pytest

from benchmarks.score import main
from sentiment.data.generate import generate_reviews
from tests.support.bundles import with_early_exit


def test_all_ways_score_the_same_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("fasttext")
    for split, count in (("train", 400), ("test", 120)):
        lines = [
            f"__label__{label + 1} {text}\n"
            for label, text in generate_reviews(count, seed=1, split=split)
        ]
        (tmp_path / f"{split}.ft.txt").write_text("".join(lines), encoding="utf-8")
    (tmp_path / "bundle").mkdir()
    bundle = with_early_exit(tmp_path / "bundle")
    files = ["--train", str(tmp_path / "train.ft.txt"), "--data", str(tmp_path / "test.ft.txt")]
    arguments = ["--model", str(bundle), "--singles", "5", "--json", str(tmp_path / "out.json")]
    assert main([*files, *arguments]) == 0
    result = json.loads((tmp_path / "out.json").read_text())
    assert result["reviews"] == 120
    exact, fast, tfidf, fasttext = result["ways"].values()
    assert 0 < fast["exited"] <= 1
    assert exact["exited"] == exact["changed"] == 0
    assert abs(exact["accuracy"] - fast["accuracy"]) <= fast["changed"]
    assert tfidf["accuracy"] > 0.6  # it has learnt, which the random bundle has not
    for way in (exact, fast, tfidf, fasttext):
        assert way["rows_per_second"] > 0
        assert 0 < way["p50_ms"] <= way["p95_ms"]
    assert "TF-IDF + regression" in capsys.readouterr().out
