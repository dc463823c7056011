"""What to decide by a model's scores: where the threshold goes, and which reviews people read."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sentiment.evaluation.metrics import (
    Flags,
    Floats,
    confusion_counts,
    ranking,
    wilson_interval,
)
from sentiment.model.measures import MEASURES, best_threshold

HISTOGRAM_BINS = 20
THRESHOLDS = 99  # 0.01 to 0.99
ANSWERED_STEPS = 20  # shares answered: 5 % to 100 %
FALLBACK = "mcc"  # the measure by which models are promoted


def decide_by_scores(
    labels: npt.NDArray[np.uint8],
    scores: Floats,
    others: Mapping[str, Floats],
    *,
    threshold: float,
    measure: str | float,
) -> dict[str, Any]:
    """Return what a report shows of the scores, as a JSON object.

    ``labels`` (n,) are 0 or 1, ``scores`` (n,) the model's probabilities of 1, ``others`` those of
    other models by their names. ``measure`` is the setting ``train.threshold``; for a number the
    measure is MCC.
    """
    positive = labels == 1
    named = measure if isinstance(measure, str) else FALLBACK
    return {
        "histogram": histogram(positive, scores),
        "measure": named,
        "thresholds": by_threshold(positive, scores, named),
        "suggested": best_threshold(named, labels, scores),
        "answered": by_share_answered(positive, scores, threshold),
        "others": {name: ranking(positive, found) for name, found in others.items()},
    }


def histogram(positive: Flags, scores: Floats) -> list[dict[str, Any]]:
    """Count the reviews of each label in bins of the score; a bin ends just before its ``to``."""
    which = np.minimum((scores * HISTOGRAM_BINS).astype(np.int64), HISTOGRAM_BINS - 1)
    counts = [
        np.bincount(which[inside], minlength=HISTOGRAM_BINS) for inside in (~positive, positive)
    ]
    return [
        {
            "from": at / HISTOGRAM_BINS,
            "to": (at + 1) / HISTOGRAM_BINS,
            "negative": int(counts[0][at]),
            "positive": int(counts[1][at]),
        }
        for at in range(HISTOGRAM_BINS)
    ]


def by_threshold(positive: Flags, scores: Floats, measure: str) -> list[dict[str, Any]]:
    """Return precision, recall and a measure of ``MEASURES`` at thresholds from 0.01 to 0.99.

    Precision is None where nothing is predicted positive, recall where nothing is positive.
    """
    rows = []
    for step in range(1, THRESHOLDS + 1):
        predicted = scores >= step / (THRESHOLDS + 1)
        tn, fp, fn, tp = confusion_counts(positive, predicted).values()
        rows.append(
            {
                "threshold": step / (THRESHOLDS + 1),
                "precision": tp / (tp + fp) if tp + fp else None,
                "recall": tp / (tp + fn) if tp + fn else None,
                "value": float(MEASURES[measure](tn, fp, fn, tp)),
            }
        )
    return rows


def by_share_answered(positive: Flags, scores: Floats, threshold: float) -> dict[str, Any]:
    """Return the accuracy if people read the reviews whose scores are nearest to the threshold.

    Nearness is measured in logits. ``rows`` goes from all answered by the model to few; ``low`` and
    ``high`` are the least and greatest score of those that people read, None if they read none.
    ``halved`` is the first row with at most half the share of wrong answers, None if there is none.
    """
    right = (scores >= threshold) == positive
    clipped = np.clip(scores, 1e-15, 1 - 1e-15)
    doubt = np.abs(np.log(clipped / (1 - clipped)) - np.log(threshold / (1 - threshold)))
    order = np.argsort(doubt, kind="stable")
    rows: list[dict[str, Any]] = []
    for step in range(ANSWERED_STEPS):
        handed = len(scores) * step // ANSWERED_STEPS
        kept, read = right[order[handed:]], scores[order[:handed]]
        rows.append(
            {
                "answered": len(kept) / len(scores),
                "accuracy": float(kept.mean()),
                "interval": list(wilson_interval(int(kept.sum()), len(kept))),
                "low": float(read.min()) if handed else None,
                "high": float(read.max()) if handed else None,
            }
        )
    wrong = 1 - rows[0]["accuracy"]
    less = (row for row in rows[1:] if wrong and 1 - row["accuracy"] <= wrong / 2)
    return {"rows": rows, "halved": next(less, None)}
