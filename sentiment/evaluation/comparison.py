"""Whether one classifier is better than another, by their predictions for the same reviews."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sentiment.evaluation.metrics import wilson_interval
from sentiment.model.inference import binary_cross_entropy, probabilities

TOGETHER = "together"
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
    better = against["difference"] < 0 and against["p"] < CHANCE
    return (
        f"A linear model is {'better' if better else 'as good'} here: the preset linear trains one "
        "in seconds."
    )


def ablation(
    branches: npt.NDArray[np.float64],
    labels: npt.NDArray[np.uint8],
    names: Sequence[str],
    factors: Sequence[float],
    threshold: float = 0.5,
) -> list[dict[str, Any]]:
    """Return the metrics of each branch of a model alone, and last those of all together.

    ``branches`` are the branches' logits, (reviews, branches); ``labels`` (reviews,) are 0 or 1. A
    branch alone is measured by its own logit, all together by the sum weighted by ``factors``. A
    prediction is positive if its probability is at least ``threshold``. ``together`` in a branch's
    row compares all branches with it alone. A model with one branch has only that row.
    """
    logits = [*branches.T, branches @ np.asarray(factors)]
    right = [(probabilities(column) >= threshold) == (labels == 1) for column in logits]
    rows: list[dict[str, Any]] = []
    for name, factor, column, answers in zip(
        (*names, TOGETHER), (*factors, None), logits, right, strict=True
    ):
        correct = int(answers.sum())
        rows.append(
            {
                "name": name,
                "factor": factor,
                "accuracy": correct / len(labels),
                "accuracy_interval": list(wilson_interval(correct, len(labels))),
                "loss": binary_cross_entropy(column, labels),
                "together": None if factor is None else compare(right[-1], answers),
            }
        )
    return rows if len(names) > 1 else rows[:1]
