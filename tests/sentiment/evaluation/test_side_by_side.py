"""Two models side by side, against scikit-learn and against a bootstrap over reviews."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from sentiment.evaluation.side_by_side import (
    FIGURES,
    Answers,
    differences,
    disagreements,
    figures,
)

ROWS = 600


def made_up(
    seed: int, noise: float, threshold: float = 0.5, like: Answers | None = None
) -> Answers:
    """Return answers that follow the labels, the less so the more noise there is."""
    random = np.random.default_rng(seed)
    labels = (random.random(ROWS) < 0.6).astype(np.uint8) if like is None else like.labels
    logits = random.normal(np.where(labels, 1.0, -1.0), noise)
    return Answers(labels, (1 / (1 + np.exp(-logits))).round(3), threshold)


FIRST = made_up(1, 1.0)
SECOND = made_up(2, 1.4, 0.4, like=FIRST)
ORACLES: dict[str, Callable[[Answers], float]] = {
    "accuracy": lambda a: sk.accuracy_score(a.labels, a.predicted),
    "balanced_accuracy": lambda a: sk.balanced_accuracy_score(a.labels, a.predicted),
    "mcc": lambda a: sk.matthews_corrcoef(a.labels, a.predicted),
    "f1": lambda a: sk.f1_score(a.labels, a.predicted),
    "roc_auc": lambda a: sk.roc_auc_score(a.labels, a.probabilities),
    "loss": lambda a: sk.log_loss(a.labels, a.probabilities),
}


def taken(answers: Answers, places: Any) -> Answers:
    return Answers(answers.labels[places], answers.probabilities[places], answers.threshold)


@pytest.mark.parametrize("name", ORACLES)
def test_figures_are_those_of_scikit_learn(name: str) -> None:
    for answers in (FIRST, SECOND):
        assert figures(answers)[name].value == pytest.approx(ORACLES[name](answers))
    apart = ORACLES[name](SECOND) - ORACLES[name](FIRST)
    assert differences(FIRST, SECOND)[name].value == pytest.approx(apart)


@pytest.mark.parametrize("name", ORACLES)
def test_intervals_are_those_of_a_bootstrap_over_reviews(name: str) -> None:
    random = np.random.default_rng(3)
    draws = [random.integers(0, ROWS, ROWS) for _ in range(600)]
    alone = [ORACLES[name](taken(FIRST, places)) for places in draws]
    apart = [
        ORACLES[name](taken(SECOND, places)) - ORACLES[name](taken(FIRST, places))
        for places in draws
    ]
    for found, drawn in (
        (figures(FIRST)[name].interval, alone),
        (differences(FIRST, SECOND)[name].interval, apart),
    ):
        assert found is not None
        low, high = np.percentile(drawn, (2.5, 97.5))
        assert found == pytest.approx((low, high), abs=0.2 * (high - low))


def test_a_model_does_not_differ_from_itself() -> None:
    for name, figure in differences(FIRST, FIRST).items():
        assert figure.value == 0
        assert figure.interval == (None if name == "calibration_error" else (0, 0))


def test_exchanging_the_models_turns_the_differences_round() -> None:
    one, other = differences(FIRST, SECOND), differences(SECOND, FIRST)
    for name in FIGURES:
        assert one[name].value == pytest.approx(-(other[name].value or 0))


def test_models_measured_on_different_reviews_have_no_differences() -> None:
    with pytest.raises(ValueError, match="different reviews"):
        differences(FIRST, Answers(1 - FIRST.labels, FIRST.probabilities, 0.5))


def test_with_one_class_alone_there_is_no_area() -> None:
    one_class = taken(FIRST, FIRST.labels == 1)
    assert figures(one_class)["roc_auc"].value is None
    assert differences(one_class, one_class)["roc_auc"].value is None


@given(st.integers(0, 2**32 - 1), st.integers(0, 20))
def test_disagreements_are_right_with_one_alone_and_the_widest_first(seed: int, most: int) -> None:
    other = made_up(seed, 2.0, like=FIRST)
    only = disagreements(FIRST, other, most)
    gap = abs(FIRST.probabilities - other.probabilities)
    for places, one, two in ((only[0], FIRST, other), (only[1], other, FIRST)):
        whole = [at for at in range(ROWS) if one.right[at] and not two.right[at]]
        assert len(places) == min(most, len(whole))
        assert set(places) <= set(whole)
        assert gap[places].tolist() == sorted(gap[whole], reverse=True)[:most]
