"""Factors of branches against scikit-learn's logistic regression, and where it cannot go."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from sentiment.evaluation.metrics import wilson_interval
from sentiment.model.inference import logit
from sentiment.training.calibration import MARGIN, fit_early_exits, fit_scale


def drawn(reviews: int, scale: list[float], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw logits of branches, and labels that come true with the scaled sum's probability."""
    rng = np.random.default_rng(seed)
    branches = rng.normal(0, 2, (reviews, len(scale)))
    p = 1 / (1 + np.exp(-branches @ scale))
    return branches, (rng.random(reviews) < p).astype(np.uint8)


@pytest.mark.parametrize("scale", [[0.4], [1.7], [0.3, 1.2], [0.0, 0.8]])
def test_it_finds_the_factors_that_logistic_regression_finds(scale: list[float]) -> None:
    branches, labels = drawn(5_000, scale, seed=1)
    found = fit_scale(branches, labels)
    # Its penalty draws to 0; that of fit_scale to 1 becomes the same on labels' remaining margin.
    free = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10).fit(branches, labels)
    assert found == pytest.approx(free.coef_[0].tolist(), abs=2e-3)
    assert found == pytest.approx(scale, abs=0.1)


def loss(scale: np.ndarray, branches: np.ndarray, labels: np.ndarray) -> float:
    logits = branches @ scale
    return float((np.logaddexp(0, logits) - labels * logits).sum() + ((scale - 1) ** 2).sum() / 2)


@given(st.integers(1, 40), st.integers(1, 3), st.floats(0.01, 100), st.integers(0, 999))
def test_no_neighbour_is_better(reviews: int, count: int, size: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    branches = rng.normal(0, size, (reviews, count))
    labels = rng.integers(0, 2, reviews).astype(np.uint8)
    found = np.array(fit_scale(branches, labels))
    lowest = loss(found, branches, labels)
    for direction in np.vstack([np.eye(count), -np.eye(count)]):
        for step in (1e-3, 0.1, 1.0):
            tried = loss(found + step * direction, branches, labels)
            assert lowest <= tried + 1e-6 * (1 + lowest)


def test_weights_count_as_that_many_reviews() -> None:
    branches, labels = drawn(400, [0.3, 1.2], seed=2)
    times = np.where(labels == 1, 1, 3)
    weighted = fit_scale(branches, labels, times.astype(np.float64))
    assert weighted == pytest.approx(fit_scale(branches.repeat(times, 0), labels.repeat(times)))
    assert weighted != pytest.approx(fit_scale(branches, labels), abs=1e-3)


def test_parts_without_a_mistake_get_finite_factors() -> None:
    labels = np.array([0, 1] * 50, np.uint8)
    (factor,) = fit_scale(np.where(labels == 1, 3.0, -3.0)[:, None], labels)
    assert 1 < factor < 10


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_logits_that_are_no_numbers_change_nothing(wrong: float) -> None:
    assert fit_scale(np.array([[wrong, 1.0], [0.0, 2.0]]), np.array([0, 1], np.uint8)) == [1, 1]


@given(
    st.integers(3_838, 30_000),
    st.floats(0.1, 3.0),
    st.floats(0.2, 0.8),
    st.integers(0, 99),
)
def test_early_exits_change_as_few_labels_as_they_may(
    reviews: int, doubt: float, threshold: float, seed: int
) -> None:
    """``doubt`` is how much the first part's logits differ from the sum of all three."""
    rng = np.random.default_rng(seed)
    parts = rng.normal(0, [2, doubt, doubt / 2], (reviews, 3))
    whole = parts.sum(axis=1)
    labels = (rng.random(reviews) < 1 / (1 + np.exp(-whole))).astype(np.uint8)
    exits = fit_early_exits(parts, whole, labels, threshold)
    assert len(exits) == 2
    at, changed, doubtful = logit(threshold), 0, np.ones(reviews, dtype=bool)
    for count, leave in enumerate(exits, 1):
        answers, sure = leave.answer(parts[:, :count], threshold)
        other = doubtful & ((answers >= at) != (whole >= at))
        changed += int((other & sure).sum())
        doubtful &= ~sure
    assert upper_end(changed, reviews) <= 0.001
    assert not doubtful.all()
    if leave.limit:  # one more would be too many
        close = np.abs(answers - at) > leave.limit / MARGIN / 1.01
        assert upper_end(changed + int((other & close & ~sure).sum()), reviews) > 0.001


def upper_end(successes: int, trials: int) -> float:
    return wilson_interval(successes, trials)[1]


def test_few_reviews_cannot_show_that_an_early_exit_changes_little() -> None:
    parts, labels = drawn(3_838, [1.0, 0.0], seed=3)
    assert len(fit_early_exits(parts, parts[:, 0], labels, 0.5)) == 1
    assert fit_early_exits(parts[1:], parts[1:, 0], labels[1:], 0.5) == ()


def test_parts_that_say_nothing_give_no_early_exit() -> None:
    parts, labels = drawn(4_000, [0.0, 1.0], seed=4)
    parts[:, 0] = 0.3
    assert fit_early_exits(parts, parts[:, 1], labels, 0.5) == ()
