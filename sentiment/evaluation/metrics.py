"""Metrics of a binary classifier, with confidence intervals.

Every metric is a function of the *set* of predictions: their order changes no bit of the result.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from sentiment.model.measures import Z_95, mcc

CLIP = 1e-7
LENGTH_BINS: tuple[tuple[int, int | None], ...] = (
    (1, 25), (26, 50), (51, 75), (76, 100), (101, 150), (151, 200), (201, None),
)  # fmt: skip
# Shares of unknown words: above the first number, up to the second.
UNKNOWN_BINS: tuple[tuple[float, float | None], ...] = (
    (0.0, 0.0), (0.0, 0.01), (0.01, 0.02), (0.02, 0.05), (0.05, 0.1), (0.1, None),
)  # fmt: skip
CALIBRATION_BINS = 10
CURVE_POINTS = 200

Labels = npt.NDArray[np.integer[Any]]
Probabilities = npt.NDArray[np.floating[Any]]
Flags = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Return the 95 % Wilson score interval of a share, as (low, high) within [0, 1].

    Unlike the textbook interval it holds for shares near 0 or 1 and for few trials.
    Raises ValueError unless ``0 <= successes <= trials`` and ``trials >= 1``.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(
            f"no interval for {successes:,} successes in {trials:,} trials: "
            "there must be at least one trial, and no more successes than trials"
        )
    share, spread = successes / trials, Z_95**2 / trials
    centre = (share + spread / 2) / (1 + spread)
    reach = math.sqrt(share * (1 - share) * spread + spread**2 / 4) / (1 + spread)
    low = 0.0 if successes == 0 else max(0.0, centre - reach)
    high = 1.0 if successes == trials else min(1.0, centre + reach)
    return low, high


def measure(
    labels: Labels,
    probabilities: Probabilities,
    lengths: npt.NDArray[np.integer[Any]],
    *,
    threshold: float = 0.5,
) -> dict[str, Any]:
    """Measure a classifier's predictions on a labelled set; return a JSON object.

    ``labels`` (n,) are 0 or 1; ``probabilities`` (n,) are those of label 1; ``lengths`` (n,) are in
    tokens, before any cut. A prediction is positive if its probability is at least ``threshold``.

    Shares are within [0, 1]; ``loss`` is the mean binary cross-entropy in nats. An undefined metric
    is None: ``roc_auc`` and ``average_precision`` (with empty curves) if only one class is present,
    ``precision`` if nothing is predicted positive, and so on. ``by_length`` and
    ``calibration.bins`` leave out empty bins. A length bin includes its ``from`` and ``to``; a
    calibration bin ends just before its ``to`` (the last one at 1).

    Raises ValueError if the arrays are empty, differ in shape, or hold impossible values.
    """
    _check(labels, probabilities, lengths, threshold)
    positive = labels == 1
    scores = probabilities.astype(np.float64)
    predicted = scores >= threshold
    right = predicted == positive

    counts = confusion_counts(positive, predicted)
    return {
        **metrics_from_counts(counts),
        "threshold": float(threshold),
        "loss": cross_entropy(positive, scores),
        **ranking(positive, scores),
        "by_length": _by_length(right, lengths),
        "calibration": calibration_bins(positive, scores),
    }


CELLS = ("true_negative", "false_positive", "false_negative", "true_positive")


def confusion_counts(positive: Flags, predicted: Flags) -> dict[str, int]:
    """Count predictions by true and predicted class; counts of several sets can be added."""
    counts = np.bincount(2 * positive + predicted, minlength=4)
    return dict(zip(CELLS, counts.tolist(), strict=True))


def metrics_from_counts(counts: Mapping[str, int]) -> dict[str, Any]:
    """Return the metrics that follow from the confusion counts, which must not all be 0."""
    rows = sum(counts.values())
    hits, misses = counts["true_positive"], counts["false_negative"]
    alarms = counts["false_positive"]
    positives, correct = hits + misses, hits + counts["true_negative"]
    return {
        "rows": rows,
        "positive_share": positives / rows,
        "accuracy": correct / rows,
        "accuracy_interval": list(wilson_interval(correct, rows)),
        "majority_accuracy": max(positives, rows - positives) / rows,
        "precision": _ratio(hits, hits + alarms),
        "recall": _ratio(hits, positives),
        "f1": _ratio(2 * hits, 2 * hits + alarms + misses),
        "mcc": mcc_of(counts),
        "confusion": dict(counts),
    }


def mcc_of(counts: Mapping[str, int]) -> float:
    """Return Matthews' correlation coefficient of confusion counts; 0 where it is undefined."""
    return float(mcc(*(counts[name] for name in CELLS)))


def overlooked(counts: Mapping[str, int]) -> str | None:
    """Return a warning if a model gets less than half of one class right; else None."""
    classes = (
        ("negative", counts["true_negative"], counts["false_positive"]),
        ("positive", counts["true_positive"], counts["false_negative"]),
    )
    for name, right, wrong in classes:
        if right < wrong:
            return (
                f"only {right:,} of {right + wrong:,} {name} test reviews are recognised. If they "
                "are rare, train.class_weight and train.threshold make them count more"
            )
    return None


def _check(
    labels: Labels,
    probabilities: Probabilities,
    lengths: npt.NDArray[np.integer[Any]],
    threshold: float,
) -> None:
    shapes = {"labels": labels.shape, "probabilities": probabilities.shape}
    shapes["lengths"] = lengths.shape
    if labels.ndim != 1 or len(set(shapes.values())) > 1:
        actual = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(
            f"labels, probabilities and lengths must share one shape (n,), not {actual}"
        )
    if labels.size == 0:
        raise ValueError("there are no rows to measure")
    if not 0 <= threshold <= 1:
        raise ValueError(f"the threshold must be between 0 and 1, not {threshold}")
    # Written so that NaN, for which every comparison is false, is caught too.
    for name, values, wrong, wanted in (
        ("label", labels, ~np.isin(labels, (0, 1)), "0 or 1"),
        ("probability", probabilities, ~((probabilities >= 0) & (probabilities <= 1)), "in [0, 1]"),
        ("length", lengths, lengths < 0, "0 or more"),
    ):
        if wrong.any():
            row = int(wrong.argmax())
            raise ValueError(f"row {row:,}: the {name} is {values[row]}, but must be {wanted}")


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _mean(values: Floats) -> float:
    """Return the mean, rounded once: unlike numpy's, independent of order and processor."""
    return math.fsum(values.tolist()) / values.size


def cross_entropy(positive: Flags, scores: Floats) -> float:
    """Return the mean binary cross-entropy in nats of at least one prediction."""
    clipped = np.clip(scores, CLIP, 1 - CLIP)
    return _mean(-np.log(np.where(positive, clipped, 1 - clipped)))


def ranking(positive: Flags, scores: Floats) -> dict[str, Any]:
    """Return both curves and the areas under them, which depend only on the scores' order.

    Rows with equal scores enter together, so ties are neither rewarded nor punished.
    """
    order = np.argsort(-scores, kind="stable")
    last_of_score = np.append(np.flatnonzero(np.diff(scores[order])), scores.size - 1)
    hits: Counts = np.cumsum(positive[order], dtype=np.int64)[last_of_score]
    alarms: Counts = last_of_score + 1 - hits
    positives, negatives = int(hits[-1]), int(alarms[-1])
    if not positives or not negatives:
        nothing: list[list[float]] = []
        return {"roc_auc": None, "average_precision": None, "roc": nothing,
                "precision_recall": nothing}  # fmt: skip

    hits_from_0 = np.insert(hits, 0, 0)
    alarms_from_0 = np.insert(alarms, 0, 0)
    # Trapezoids in integers: exact until the division.
    twice_area = int(np.sum(np.diff(alarms_from_0) * (hits_from_0[1:] + hits_from_0[:-1])))

    gained = np.diff(hits_from_0)
    precision = hits / (hits + alarms)
    # Only a threshold that finds new positives adds area; the curve needs no other points.
    rises = gained > 0
    return {
        "roc_auc": twice_area / (2 * positives * negatives),
        "average_precision": math.fsum((gained * precision).tolist()) / positives,
        "roc": _thin(
            alarms_from_0 / negatives,
            hits_from_0 / positives,
            along=alarms_from_0 / negatives + hits_from_0 / positives,
        ),
        "precision_recall": _thin(
            hits[rises] / positives, precision[rises], along=hits[rises] / positives
        ),
    }


def _thin(x: Floats, y: Floats, *, along: Floats) -> list[list[float]]:
    """Return at most CURVE_POINTS points of a curve as [x, y], including both ends.

    They are spread evenly over ``along``, which increases from point to point: every k-th point
    would leave too few in steep parts.
    """
    if x.size > CURVE_POINTS:
        targets = np.linspace(along[0], along[-1], CURVE_POINTS)
        picked = np.unique(np.searchsorted(along, targets).clip(max=x.size - 1))
        x, y = x[picked], y[picked]
    return np.column_stack((x, y)).tolist()  # type: ignore[no-any-return]


def _by_length(right: Flags, lengths: npt.NDArray[np.integer[Any]]) -> list[dict[str, Any]]:
    starts = [start for start, _ in LENGTH_BINS]
    # A text without tokens is below the first bin, and gets a separate one.
    which = np.searchsorted(starts, lengths, side="right")
    return _accuracy_in(((0, 0), *LENGTH_BINS), right, which)


def accuracy_by_unknown(right: Flags, shares: Floats) -> list[dict[str, Any]]:
    """Return the accuracy by share of unknown words, with 95 % intervals.

    ``right`` (n,) says which predictions are right, ``shares`` (n,) are within [0, 1]. A bin holds
    the shares above ``from`` and up to ``to``; the first one only 0. Empty bins are left out.
    """
    ends = [end for _, end in UNKNOWN_BINS if end is not None]
    return _accuracy_in(UNKNOWN_BINS, right, np.searchsorted(ends, shares, side="left"))


def _accuracy_in(
    bins: Sequence[tuple[float, float | None]], right: Flags, which: npt.NDArray[np.intp]
) -> list[dict[str, Any]]:
    """Return the accuracy in each non-empty bin; ``which`` (n,) is each row's bin."""
    counts = np.bincount(which, minlength=len(bins)).tolist()
    corrects = np.bincount(which[right], minlength=len(bins)).tolist()
    return [
        {
            "from": start,
            "to": end,
            "rows": count,
            "accuracy": correct / count,
            "interval": list(wilson_interval(correct, count)),
        }
        for (start, end), count, correct in zip(bins, counts, corrects, strict=True)
        if count
    ]


def unknown_label(unknown_bin: dict[str, Any]) -> str:
    """Return the label of a bin of unknown words, such as "1–2 %"."""
    start, end = unknown_bin["from"], unknown_bin["to"]
    if end == 0:
        return "none"
    if end is None:
        return f"over {start * 100:g} %"
    return f"{start * 100:g}–{end * 100:g} %"


def length_label(length_bin: dict[str, Any]) -> str:
    """Return the label of a length bin, such as "1–25" or "201+"."""
    start, end = length_bin["from"], length_bin["to"]
    if end is None:
        return f"{start}+"
    return str(start) if start == end else f"{start}–{end}"


def calibration_bins(positive: Flags, scores: Floats) -> dict[str, Any]:
    """Compare predicted probabilities with the share of positives, in bins of equal width.

    ``ece``, the expected calibration error, is the mean distance between the two, weighted by rows.
    ``confidence`` is a bin's mean predicted probability of the positive class.
    """
    edges = [number / CALIBRATION_BINS for number in range(CALIBRATION_BINS + 1)]
    which = np.searchsorted(edges[1:-1], scores, side="right")
    bins: list[dict[str, Any]] = []
    for number, (start, end) in enumerate(pairwise(edges)):
        inside = which == number
        count = int(inside.sum())
        if not count:
            continue
        positives = int(positive[inside].sum())
        bins.append(
            {
                "from": start,
                "to": end,
                "rows": count,
                "confidence": _mean(scores[inside]),
                "positive_share": positives / count,
                "interval": list(wilson_interval(positives, count)),
            }
        )
    gaps = [each["rows"] * abs(each["confidence"] - each["positive_share"]) for each in bins]
    return {"ece": math.fsum(gaps) / positive.size, "bins": bins}
