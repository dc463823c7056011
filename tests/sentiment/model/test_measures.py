"""Measures beside scikit-learn's, and the threshold beside a search of all."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from sentiment.model.measures import MEASURES, best_threshold

ORACLES = {
    "accuracy": oracle.accuracy_score,
    "balanced_accuracy": oracle.balanced_accuracy_score,
    "f1": oracle.f1_score,
    "mcc": oracle.matthews_corrcoef,
}
answers = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.001, 0.2, 0.4, 0.5, 0.7, 0.99, 1.0])),
    min_size=1,
    max_size=30,
)


@pytest.mark.parametrize("name", MEASURES)
@given(counts=st.tuples(*[st.integers(0, 30)] * 4))
def test_a_measure_is_scikit_learns(name: str, counts: tuple[int, int, int, int]) -> None:
    tn, fp, fn, tp = counts
    if not (tn + fp and fn + tp):
        return  # scikit-learn warns of a class that does not occur, and skips it
    labels = np.repeat([0, 0, 1, 1], counts)
    predicted = np.repeat([0, 1, 0, 1], counts)
    expected = ORACLES[name](labels, predicted)
    assert float(MEASURES[name](*counts)) == pytest.approx(expected)
    columns = MEASURES[name](*(np.array([each, each]) for each in counts))
    assert columns.tolist() == pytest.approx([expected] * 2)


@pytest.mark.parametrize("name", MEASURES)
def test_an_undefined_measure_is_0(name: str) -> None:
    assert float(MEASURES[name](0, 0, 0, 0)) == 0


def value(name: str, labels: np.ndarray, chances: np.ndarray, threshold: float) -> float:
    """Return a measure at a threshold, by counting."""
    predicted, positive = chances >= threshold, labels == 1
    counts = (
        (~predicted & ~positive).sum(),
        (predicted & ~positive).sum(),
        (~predicted & positive).sum(),
        (predicted & positive).sum(),
    )
    return float(MEASURES[name](*counts))


@pytest.mark.parametrize("name", MEASURES)
@given(given=answers)
def test_no_other_threshold_is_better(name: str, given: list[tuple[int, float]]) -> None:
    labels = np.array([label for label, _ in given], np.uint8)
    chances = np.array([chance for _, chance in given])
    found = best_threshold(name, labels, chances)
    assert 0 < found < 1
    best = value(name, labels, chances, found)
    for other in (1e-9, 0.0005, 0.1, 0.3, 0.45, 0.6, 0.9, 0.995, 1 - 1e-9):
        assert best >= value(name, labels, chances, other) - 1e-12


def test_of_equally_good_thresholds_the_one_nearest_to_half_is_chosen() -> None:
    labels, chances = np.array([0, 1], np.uint8), np.array([0.1, 0.3])
    assert best_threshold("accuracy", labels, chances) == pytest.approx(0.2)
    # Between the two both are wrong; one is right below (0.2) and above (0.85).
    assert best_threshold("accuracy", labels[::-1], np.array([0.4, 0.7])) == pytest.approx(0.2)


def test_neighbours_that_round_to_the_same_middle_stay_apart() -> None:
    low = 0.3
    high = float(np.nextafter(low, 1))
    labels, chances = np.array([0, 1], np.uint8), np.array([low, high])
    assert best_threshold("mcc", labels, chances) == high
