"""Thresholds and doubtful reviews by the scores, beside scikit-learn and plain loops."""

import numpy as np
import pytest
from sklearn import metrics as oracle

from sentiment.evaluation.decisions import (
    by_share_answered,
    by_threshold,
    decide_by_scores,
    histogram,
)

RANDOM = np.random.default_rng(8)
LABELS = (RANDOM.random(500) < 0.4).astype(np.uint8)
SCORES = 1 / (1 + np.exp(-RANDOM.normal(np.where(LABELS, 1.0, -1.0), 1.2)))


def test_the_histogram_has_every_review_once() -> None:
    bins = histogram(LABELS == 1, SCORES)
    for name, label in (("negative", 0), ("positive", 1)):
        expected, _ = np.histogram(SCORES[label == LABELS], bins=len(bins), range=(0, 1))
        assert [each[name] for each in bins] == expected.tolist()
    edges = histogram(np.array([True, True]), np.array([0.0, 1.0]))
    assert [each["positive"] for each in edges] == [1, *[0] * (len(edges) - 2), 1]


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        ("f1", oracle.f1_score),
        ("mcc", oracle.matthews_corrcoef),
        ("accuracy", oracle.accuracy_score),
    ],
)
def test_a_threshold_does_what_scikit_learn_says(measure: str, expected: object) -> None:
    assert callable(expected)
    for row in by_threshold(LABELS == 1, SCORES, measure)[::7]:
        predicted = row["threshold"] <= SCORES
        assert row["value"] == pytest.approx(expected(LABELS, predicted))
        assert row["recall"] == pytest.approx(oracle.recall_score(LABELS, predicted))
        if predicted.any():
            assert row["precision"] == pytest.approx(oracle.precision_score(LABELS, predicted))


def test_nothing_predicted_positive_has_no_precision() -> None:
    last = by_threshold(np.array([True, False]), np.array([0.1, 0.1]), "f1")[-1]
    assert (last["precision"], last["recall"], last["value"]) == (None, 0.0, 0.0)


@pytest.mark.parametrize("threshold", [0.5, 0.2])
def test_people_read_the_reviews_nearest_to_the_threshold(threshold: float) -> None:
    answered = by_share_answered(LABELS == 1, SCORES, threshold)
    right = (threshold <= SCORES) == (LABELS == 1)
    for row in answered["rows"]:
        band = np.zeros(len(SCORES), bool)
        if row["low"] is not None:
            band = (row["low"] <= SCORES) & (row["high"] >= SCORES)
        assert row["accuracy"] == pytest.approx(right[~band].mean())
        assert row["answered"] == pytest.approx((~band).mean())
    halved = answered["halved"]
    assert 1 - halved["accuracy"] <= (1 - right.mean()) / 2
    before = answered["rows"][answered["rows"].index(halved) - 1]
    assert 1 - before["accuracy"] > (1 - right.mean()) / 2


def test_without_mistakes_nothing_is_halved() -> None:
    assert by_share_answered(np.array([True, False]), np.array([0.9, 0.1]), 0.5)["halved"] is None


def test_a_fixed_threshold_is_judged_by_mcc() -> None:
    logits = np.zeros(len(LABELS))
    found = decide_by_scores(LABELS, SCORES, {"other": logits}, threshold=0.5, measure=0.5)
    assert found["measure"] == "mcc"
    best = max(row["value"] for row in found["thresholds"])
    at = oracle.matthews_corrcoef(LABELS, found["suggested"] <= SCORES)
    assert at >= best - 1e-12
    assert found["others"]["other"]["roc_auc"] == 0.5
