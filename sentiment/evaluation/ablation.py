"""What each branch of a model contributes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sentiment.evaluation.comparison import compare
from sentiment.evaluation.metrics import wilson_interval
from sentiment.model.inference import FastScores, binary_cross_entropy, logit, probabilities

TOGETHER = "together"


def early_exit_effect(
    fast: FastScores,
    logits: npt.NDArray[np.float64],
    labels: npt.NDArray[np.uint8],
    threshold: float,
) -> dict[str, float]:
    """Return what fast scoring does to the reviews.

    That is the ``share`` that a part of the model answers, the number of labels ``changed`` by it,
    and the ``accuracy``. ``logits`` (reviews,) are those of the whole model.
    """
    answers, exact = fast.logits >= logit(threshold), logits >= logit(threshold)
    return {
        "share": float(fast.exited.mean()),
        "changed": int((answers != exact).sum()),
        "accuracy": float((answers == (labels == 1)).mean()),
    }


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
    row compares all branches with it alone. A model with one branch has only one row, which
    measures the weighted logit.
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
    if len(names) == 1:
        itself = compare(right[-1], right[-1])
        return [{**rows[1], "name": names[0], "factor": factors[0], "together": itself}]
    return rows
