"""The other models learn and choose on validation; all are compared on the test reviews."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.accuracy import main
from benchmarks.support.rivals import Split, Trained, choose, fasttext, tfidf
from sentiment.data.generate import write_sample

GOOD, BAD = ["a", "fine", "lamp"], ["a", "poor", "lamp"]
SPLIT = Split([GOOD, BAD] * 20, np.array([1, 0] * 20, np.uint8))


def test_tfidf_learns_a_word() -> None:
    for model in tfidf(SPLIT):
        assert model.predict([["fine"], ["poor"]]).tolist() == [1, 0]
        assert model.size() > 0


def test_a_learning_rate_at_which_fasttext_diverges_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def train_supervised(lr: float, **_: object) -> None:
        if lr in diverging:
            raise RuntimeError("Encountered NaN.")

    monkeypatch.setitem(sys.modules, "fasttext", SimpleNamespace(train_supervised=train_supervised))
    diverging = {0.5}
    assert [model.setting for model in fasttext(SPLIT)] == ["learning rate 0.1"]
    diverging = {0.1, 0.5}
    with pytest.raises(RuntimeError, match="NaN"):
        fasttext(SPLIT)


def test_validation_chooses_and_the_test_reviews_are_read_once() -> None:
    read: list[str] = []

    def model(name: str, answer: int) -> Trained:
        def predict(texts: list[list[str]]) -> np.ndarray:
            read.append(f"{name} {len(texts)}")
            return np.full(len(texts), answer, np.uint8)

        return Trained(name, predict, 1.0, lambda: 7)

    validation = Split([GOOD] * 3, np.ones(3, np.uint8))
    test = Split([BAD] * 5, np.zeros(5, np.uint8))
    best = choose("rival", [model("no", 0), model("yes", 1)], validation, test)
    assert read == ["no 3", "yes 3", "yes 5"]
    assert (best.chosen, best.validation_accuracy, best.size) == ("yes", 1.0, 7)
    assert best.predicted.tolist() == [1] * 5


def test_the_command_prints_all_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("fasttext")
    write_sample(tmp_path / "data", train=300, test=200, seed=1)
    arguments = ["--preset", "sample", "--data", str(tmp_path / "data")]
    settings = ["train.epochs=1", "train.model.hidden_size=4", "vocabulary.min_count=1"]
    changes = [word for setting in settings for word in ("--set", setting)]
    places = ["--storage", str(tmp_path / "storage"), "--json", str(tmp_path / "out.json")]
    assert main([*arguments, *changes, *places, "--seeds", "1", "2"]) == 0
    result = json.loads((tmp_path / "out.json").read_text())
    assert result["reviews"] == {"train": 300, "validation": 100, "test": 100}
    names = [way["name"] for way in result["ways"]]
    assert names[:2] == ["sample, seed 1", "sample, seed 2"]
    assert [name.split()[0] for name in names[2:]] == ["TF-IDF", "fastText"]
    ours = sum(way["accuracy"] for way in result["ways"][:2]) / 2
    for way in result["ways"]:
        low, high = way["interval"]
        assert low <= way["accuracy"] <= high
        assert way["lead"] == pytest.approx(ours - way["accuracy"])
        assert way["bytes"] > 0
    first, second = result["seeds"]
    assert (first["seed"], second["seed"]) == (1, 2)
    assert first["loss"] != second["loss"]
    for seed in (first, second):
        assert 0 <= seed["ece"] <= 1
        assert 0 <= seed["long"]["accuracy"] <= 1
        assert len(seed["wrong_phrases"]) < seed["phrases"] == 30
    told = capsys.readouterr().out
    assert "points over fastText" in told
    assert f"sample: {ours:.4f} on average" in told
