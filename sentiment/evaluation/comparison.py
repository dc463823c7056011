"""Whether one classifier is better than another, by their predictions for the same reviews."""

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

CHANCE = 0.05  # a smaller p-value is taken for a difference
Flags = npt.NDArray[np.bool_]


def compare(right: Flags, other: Flags) -> dict[str, Any]:
    """Compare two classifiers by which predictions are right, both of shape (reviews,).

    ``gained`` counts the reviews that only the first got right, ``lost`` those that only the other
    did. ``difference`` is that of the accuracies. ``p`` is the p-value of McNemar's exact two-sided
    test.
    """
    gained, lost = int((right & ~other).sum()), int((other & ~right).sum())
    return {
        "gained": gained,
        "lost": lost,
        "difference": (gained - lost) / right.size,
        "p": mcnemar(gained, lost),
    }


def mcnemar(gained: int, lost: int) -> float:
    """Return the two-sided probability of a split at least as uneven between equal classifiers."""
    trials = gained + lost
    ways = term = 1  # counted in integers, so exact
    for heads in range(1, min(gained, lost) + 1):
        term = term * (trials - heads + 1) // heads
        ways += term
    return min(1.0, math.ldexp(*_halves(2 * ways, trials)))


def fisher(counts: Mapping[str, int]) -> float:
    """Return the p-value of Fisher's exact one-sided test for the confusion ``counts``.

    That is the probability of as many right answers by chance: of labels that have nothing to do
    with the answers, both as frequent as here. 1 if the answers do not follow the labels at all.
    """
    hits, rejections = counts["true_positive"], counts["true_negative"]
    alarms, misses = counts["false_positive"], counts["false_negative"]
    if hits * rejections <= alarms * misses:
        return 1.0
    log_p = sum(
        math.lgamma(1 + number)
        for number in (hits + misses, alarms + rejections, hits + alarms, misses + rejections)
    ) - sum(
        math.lgamma(1 + number)
        for number in (hits, rejections, alarms, misses, sum(counts.values()))
    )
    total = term = 1.0  # of the tables with as many right answers or more, relative to this one
    while alarms and misses and term > total * 1e-17:
        hits, rejections = hits + 1, rejections + 1
        term *= alarms * misses / (hits * rejections)
        alarms, misses = alarms - 1, misses - 1
        total += term
    return min(1.0, math.exp(log_p) * total)


def _halves(number: int, exponent: int) -> tuple[float, int]:
    """Return ``number / 2**exponent`` as a float and a power of 2, for integers of any size."""
    shift = max(0, number.bit_length() - 64)
    return float(number >> shift), shift - exponent


def linear_would_do(against: Mapping[str, Any], branches: Collection[str]) -> str | None:
    """Return a sentence that recommends the preset ``linear``, or None if it would be worse.

    ``against`` compares the model with the linear baseline (see :func:`compare`), ``branches`` are
    the names of the model's. An LSTM has to be better than the baseline by more than chance.
    """
    if "lstm" not in branches or (against["difference"] > 0 and against["p"] < CHANCE):
        return None
    if against["p"] < CHANCE:
        return "A linear model is better here: train one with the preset linear, in less time."
    return (
        f"The test reviews do not tell this model from a linear one (p {against['p']:.2g}), which "
        "the preset linear trains in a fraction of the time."
    )
