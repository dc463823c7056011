"""Suspected labels: the planted ones are found, and the file can be read again."""

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa

from sentiment.evaluation.label_errors import suspected_labels, write_suspects


def test_planted_wrong_labels_are_found_the_most_suspicious_first() -> None:
    random = np.random.default_rng(4)
    true = (random.random(400) < 0.3).astype(np.uint8)
    scores = np.clip(np.where(true, 0.9, 0.1) + random.normal(0, 0.04, 400), 0.01, 0.99)
    labels = true.copy()
    planted = random.choice(400, 12, replace=False)
    labels[planted] ^= 1
    found = suspected_labels(labels, scores)
    assert {*found.tolist()} <= {*planted.tolist()}
    assert len(found) >= 6  # the model is as sure as usual of about half of them
    other = np.where(labels == 1, 1 - scores, scores)[found]
    assert (np.diff(other) <= 0).all()


def test_a_mistake_of_an_unsure_model_is_not_suspected() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1], np.uint8)
    scores = np.array([0.1, 0.1, 0.55, 0.9, 0.9, 0.9])
    assert suspected_labels(labels, scores).tolist() == []
    scores[2] = 0.95
    assert suspected_labels(labels, scores).tolist() == [2]


def test_one_class_alone_has_no_suspects() -> None:
    assert suspected_labels(np.ones(2, np.uint8), np.array([0.1, 0.9])).tolist() == []


def test_texts_come_back_and_formulas_stay_texts(tmp_path: Path) -> None:
    texts = ['a, "b"\nc', "=1+1", "@x", "good"]
    path = tmp_path / "suspects.csv"
    columns = {"row": [5, 6, 7, 8], "label": [1] * 4, "probability": [0.25] * 4, "text": texts}
    write_suspects(path, pa.table(columns))
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["text"] for row in rows] == [texts[0], "'=1+1", "'@x", "good"]
    assert [row["row"] for row in rows] == ["5", "6", "7", "8"]
    assert rows[0]["probability"] == "0.250000"
