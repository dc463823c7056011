"""Measures of a classifier from its confusion counts, which may be numbers or arrays of them.

An undefined measure is 0, as in scikit-learn.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Z_95 = 1.959963984540054  # the normal distribution is within it of 0 with 95 %

Counts = npt.ArrayLike  # all of one shape
Measure = npt.NDArray[np.float64]  # of the counts' shape


def accuracy(tn: Counts, fp: Counts, fn: Counts, tp: Counts) -> Measure:
    """Return the share of right answers."""
    tn, fp, fn, tp = _floats(tn, fp, fn, tp)
    return _ratio(tp + tn, tn + fp + fn + tp)


def balanced_accuracy(tn: Counts, fp: Counts, fn: Counts, tp: Counts) -> Measure:
    """Return the mean of the shares of right answers in each class."""
    tn, fp, fn, tp = _floats(tn, fp, fn, tp)
    return (_ratio(tn, tn + fp) + _ratio(tp, tp + fn)) / 2


def f1(tn: Counts, fp: Counts, fn: Counts, tp: Counts) -> Measure:
    """Return the harmonic mean of precision and recall of the positive class."""
    tn, fp, fn, tp = _floats(tn, fp, fn, tp)
    return _ratio(2 * tp, 2 * tp + fp + fn)


def mcc(tn: Counts, fp: Counts, fn: Counts, tp: Counts) -> Measure:
    """Return Matthews' correlation coefficient of labels and answers, from -1 to 1."""
    tn, fp, fn, tp = _floats(tn, fp, fn, tp)
    return _ratio(tp * tn - fp * fn, np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)))


MEASURES: Mapping[str, Callable[[Any, Any, Any, Any], Measure]] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "f1": f1,
    "mcc": mcc,
}


def best_threshold(
    measure: str, labels: npt.NDArray[np.uint8], probabilities: npt.NDArray[np.float64]
) -> float:
    """Return the threshold, within (0, 1), at which a measure of these answers is highest.

    ``labels`` (n,) are 0 or 1, ``probabilities`` (n,) those of 1; an answer is positive from the
    threshold on. It lies halfway between two probabilities. Of several that are equally good, the
    one nearest to 0.5 is returned.
    """
    order = np.argsort(-probabilities, kind="stable")
    scores, positive = probabilities[order], labels[order] == 1
    ends = np.append(np.flatnonzero(np.diff(scores)), scores.size - 1)  # equal ones stay together
    # Between each two neighbours, and beyond both ends, where all answers are the same.
    limits = np.concatenate([[1.0], scores[ends], [0.0]])
    thresholds = (limits[:-1] + limits[1:]) / 2
    tp = np.concatenate([[0], np.cumsum(positive)[ends]])
    fp = np.concatenate([[0], ends + 1]) - tp
    values = MEASURES[measure](fp[-1] - fp, fp, tp[-1] - tp, tp)
    # Rounding must not move a threshold onto the lower neighbour, nor out of (0, 1).
    valid = (thresholds > limits[1:]) & (thresholds > 0) & (thresholds < 1)
    best = np.flatnonzero(valid & (values == values[valid].max()))
    return float(thresholds[best[np.abs(thresholds[best] - 0.5).argmin()]])


def _floats(*counts: Counts) -> list[Measure]:
    return [np.asarray(count, np.float64) for count in counts]


def _ratio(part: Measure, whole: Measure) -> Measure:
    return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)
