"""The export benchmark measures accuracy, and what a batch changes."""

import json
from pathlib import Path

import numpy as np
import pytest

from sentiment import Classifier
from tests.support.bundles import write_random_bundle
from tests.support.reviews import write_bz2

pytest.importorskip("onnxruntime")

from benchmarks import export

TEXTS = ("a lovely lamp", "awful, awful", "a lamp, a lovely awful lamp", "nothing known", ".")
LINES = [
    f"__label__{('lovely' in text) + 1} {' , '.join([text] * (n % 7 + 1))}"
    for n, text in enumerate(TEXTS * 20)
]


def test_it_prints_and_writes_its_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = write_random_bundle(tmp_path)
    lines = [*LINES[:50], "no label", *LINES[50:]]
    data = write_bz2(tmp_path / "test.ft.txt.bz2", [line.encode() for line in lines])
    out = tmp_path / "out.json"
    places = ["--model", str(bundle), "--data", str(data)]
    assert export.main([*places, "--rows", "90", "--json", str(out)]) == 0
    result = json.loads(out.read_text())
    assert result["reviews"] == 90
    ways = {way["name"]: way for way in result["ways"]}
    assert list(ways) == ["torch", "onnx", "onnx int8"]
    torch, onnx, int8 = ways.values()
    assert torch["largest_difference"] == 0 < onnx["largest_difference"] < 1e-5
    assert onnx["accuracy"] == torch["accuracy"] and onnx["same_label"] == 1
    assert max(torch["moved_by_batch"], onnx["moved_by_batch"]) < 1e-5 < int8["moved_by_batch"]
    chances = Classifier.load(bundle).probabilities(line.split(" ", 1)[1] for line in LINES[:90])
    positive = [line.startswith("__label__2") for line in LINES[:90]]
    assert torch["accuracy"] == np.mean((chances >= 0.5) == positive) != 0.5
    for way in ways.values():
        assert 0 < way["interval"][0] <= way["accuracy"] <= way["interval"][1] < 1
        assert 0 < way["p50_ms"] <= way["p95_ms"]
    printed = capsys.readouterr().out
    assert f"{int8['bytes']:,}" in printed and f"{torch['accuracy']:.4f}" in printed


def test_accuracy_and_what_a_batch_moves_are_counted_by_hand() -> None:
    def score(ids: export.Ids, lengths: export.Ids) -> export.Probabilities:
        """Positive from three words on, and from one on in company."""
        assert ((ids > 0).sum(axis=1) == lengths).all()
        return np.where(lengths >= 3, 0.75, 0.25) + (0.25 if len(ids) > 1 else 0.0)

    reviews = [np.full(length, 2) for length in (1, 2, 3, 4)]
    positive = np.array([True, True, True, True])
    found = export.figures("by hand", 5, score, reviews, positive)
    assert found["probabilities"].tolist() == [0.25, 0.25, 0.75, 0.75]
    assert (found["accuracy"], found["accuracy_in_batches"]) == (0.5, 1.0)
    assert found["moved_by_batch"] == 0.25


def test_reviews_without_labels_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = write_random_bundle(tmp_path)
    data = tmp_path / "plain.txt"
    data.write_text("a lovely lamp\n")
    assert export.main(["--model", str(bundle), "--data", str(data)]) == 1
    assert "no labelled reviews" in capsys.readouterr().err
