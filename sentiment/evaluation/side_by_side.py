"""Two models side by side: their figures with intervals, and the reviews that tell them apart."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sentiment.evaluation.metrics import CELLS, CLIP, Flags, Floats, measure, wilson_interval
from sentiment.model.measures import MEASURES, Z_95

# Counts of right and wrong answers are drawn this many times, as the bootstrap does with
# reviews: only their counts matter, so a draw costs the same for any number of reviews.
DRAWS, SEED = 10_000, 0
INTERVAL = (2.5, 97.5)  # percentiles
# In the order in which they are shown; of the last two, less is better.
FIGURES = ("accuracy", "balanced_accuracy", "mcc", "f1", "roc_auc", "loss", "calibration_error")


@dataclass(frozen=True)
class Figure:
    """A figure or a difference of two, with its 95 % interval; None where it is not defined."""

    value: float | None
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Answers:
    """A model's answers: ``labels`` (0 or 1) and ``probabilities`` of 1, both (reviews,)."""

    labels: npt.NDArray[np.uint8]
    probabilities: Floats
    threshold: float

    @property
    def predicted(self) -> Flags:
        found: Flags = self.probabilities >= self.threshold
        return found

    @property
    def right(self) -> Flags:
        found: Flags = self.predicted == (self.labels == 1)
        return found


def figures(answers: Answers) -> dict[str, Figure]:
    """Return a model's figures, by the names of ``FIGURES``."""
    values = _values(answers)
    cells = np.bincount(2 * answers.labels.astype(int) + answers.predicted, minlength=4)
    drawn = _measured(_draws(cells).T)
    correct, rows = int(answers.right.sum()), answers.labels.size
    return {
        **_with_intervals(values, drawn),
        "accuracy": Figure(values["accuracy"], wilson_interval(correct, rows)),
        "loss": _within(_mean_of(_losses(answers)), math.inf),
        "roc_auc": _within(_area(values["roc_auc"], _placements(answers)), 1),
    }


def differences(first: Answers, second: Answers) -> dict[str, Figure]:
    """Return how far the second model's figures are above the first's, on the same reviews.

    The intervals are narrower than two separate ones suggest: most reviews are equally easy or hard
    for both models. Raises ValueError if the labels differ.
    """
    if not np.array_equal(first.labels, second.labels):
        raise ValueError("the two models were measured on different reviews")
    before, after = _values(first), _values(second)
    values = {
        name: None if before[name] is None else after[name] - before[name] for name in FIGURES
    }
    cells = 4 * first.labels.astype(int) + 2 * first.predicted + second.predicted
    drawn = _draws(np.bincount(cells, minlength=8)).reshape(-1, 2, 2, 2)  # label, first, second
    one, two = drawn.sum(axis=3).reshape(-1, 4), drawn.sum(axis=2).reshape(-1, 4)
    of_one, of_two = _measured(one.T), _measured(two.T)
    apart = [b - a for a, b in zip(_placements(first), _placements(second), strict=True)]
    return {
        **_with_intervals(values, {name: of_two[name] - of_one[name] for name in of_one}),
        "loss": _mean_of(_losses(second) - _losses(first)),
        "roc_auc": _area(values["roc_auc"], apart),
    }


def disagreements(first: Answers, second: Answers, most: int) -> tuple[list[int], list[int]]:
    """Return the places of reviews that only the first got right, and that only the second did.

    At ``most`` that many each, those with the most different probabilities first.
    """
    gap = -np.abs(first.probabilities - second.probabilities)
    found = []
    for one, other in ((first, second), (second, first)):
        places = np.flatnonzero(one.right & ~other.right)
        found.append(places[np.argsort(gap[places], kind="stable")][:most].tolist())
    return found[0], found[1]


def _values(answers: Answers) -> dict[str, Any]:
    lengths = np.ones(answers.labels.size, dtype=np.int64)  # do not matter here
    found = measure(answers.labels, answers.probabilities, lengths, threshold=answers.threshold)
    cells = [found["confusion"][name] for name in CELLS]
    counted = {name: float(does(*cells)) for name, does in MEASURES.items()}
    error = {"calibration_error": found["calibration"]["ece"]}
    return {**counted, "roc_auc": found["roc_auc"], "loss": found["loss"], **error}


def _draws(cells: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return counts (draws, cells) as they would be with other reviews of the same kind."""
    total = int(cells.sum())
    return np.random.default_rng(SEED).multinomial(total, cells / total, size=DRAWS)


def _measured(cells: npt.NDArray[Any]) -> dict[str, Floats]:
    """Return the measures of confusion counts (4, draws)."""
    return {name: does(*cells) for name, does in MEASURES.items()}


def _with_intervals(
    values: Mapping[str, float | None], drawn: Mapping[str, Floats]
) -> dict[str, Figure]:
    found = {name: Figure(values[name]) for name in FIGURES}
    for name, draws in drawn.items():
        low, high = np.percentile(draws, INTERVAL)
        found[name] = Figure(values[name], (float(low), float(high)))
    return found


def _losses(answers: Answers) -> Floats:
    """Return each review's cross-entropy in nats."""
    clipped = np.clip(answers.probabilities, CLIP, 1 - CLIP)
    return -np.log(np.where(answers.labels == 1, clipped, 1 - clipped))


def _mean_of(values: Floats) -> Figure:
    return _normal(float(values.mean()), values.var(ddof=1) / values.size if values.size > 1 else 0)


def _within(figure: Figure, most: float) -> Figure:
    """Cut a figure's interval to what is possible, from 0 on."""
    if figure.interval is None:
        return figure
    low, high = figure.interval
    return Figure(figure.value, (max(0.0, low), min(most, high)))


def _normal(value: float, variance: float) -> Figure:
    reach = Z_95 * float(variance) ** 0.5
    return Figure(value, (value - reach, value + reach))


def _placements(answers: Answers) -> list[Floats]:
    """Return each negative's, then each positive's share of the other class on its right side.

    Ties count half. The mean of either is the area under the ROC curve; their variances give that
    of the area (DeLong, DeLong and Clarke-Pearson, 1988).
    """
    scores, positive = answers.probabilities, answers.labels == 1
    negatives, positives = np.sort(scores[~positive]), np.sort(scores[positive])
    if not negatives.size or not positives.size:
        return [np.zeros(0), np.zeros(0)]

    def below(sorted_: Floats, given: Floats) -> Floats:
        ends = [np.searchsorted(sorted_, given, side=side) for side in _SIDES]
        share: Floats = (ends[0] + ends[1]) / (2 * sorted_.size)
        return share

    return [1 - below(positives, scores[~positive]), below(negatives, scores[positive])]


_SIDES: tuple[Any, Any] = ("left", "right")


def _area(value: float | None, placements: list[Floats]) -> Figure:
    """Return the area under the ROC curve, or the difference of two, by their placements."""
    if value is None or min(each.size for each in placements) < 2:
        return Figure(value)
    return _normal(value, sum(float(each.var(ddof=1)) / each.size for each in placements))
