"""Calibration: one factor for each branch's logits, fitted on the validation reviews.

Branches that were trained side by side are overconfident when their logits are added up. With one
branch this is temperature scaling (Guo et al. 2017).
"""

import math

import numpy as np
import numpy.typing as npt

from sentiment.model.inference import EarlyExit, logit
from sentiment.model.measures import Z_95

STEPS = 50
CLOSE = 1e-10
MOST_CHANGED = 0.001  # of the labels, by an early exit
MARGIN = 1.2  # on the limit: fitted on these reviews, it changes more labels of others


def fit_scale(
    branches: npt.NDArray[np.float64],
    labels: npt.NDArray[np.uint8],
    weights: npt.NDArray[np.float64] | None = None,
) -> list[float]:
    """Return the factor of each branch that gives ``branches @ factors`` the lowest loss.

    ``branches`` are logits of shape (reviews, branches), ``labels`` 0 or 1 of shape (reviews,).
    ``weights`` (reviews,) weigh the losses; with those of the training, the model stays calibrated
    for classes as frequent as their weights make them. Each factor is pulled towards 1 with the
    weight of one review, so that it stays finite where the branches make no mistake. Logits that
    are not finite give factors of 1.
    """
    scale = np.ones(branches.shape[1])
    weights = np.ones(len(labels)) if weights is None else weights
    if not np.isfinite(branches).all():
        return scale.tolist()
    loss = _loss(scale, branches, labels, weights)
    for _ in range(STEPS):
        p = 0.5 * (1 + np.tanh(0.5 * (branches @ scale)))
        gradient = branches.T @ (weights * (p - labels)) + (scale - 1)
        hessian = (branches.T * (weights * p * (1 - p))) @ branches + np.eye(len(scale))
        step = np.linalg.solve(hessian, gradient)
        while (tried := _loss(scale - step, branches, labels, weights)) > loss:
            step /= 2  # Newton's step is too long where the curvature grows
        scale = scale - step
        if loss - tried <= CLOSE * loss:
            break
        loss = tried
    return scale.tolist()


def fit_early_exits(
    parts: npt.NDArray[np.float64],
    logits: npt.NDArray[np.float64],
    labels: npt.NDArray[np.uint8],
    threshold: float,
    weights: npt.NDArray[np.float64] | None = None,
) -> tuple[EarlyExit, ...]:
    """Return, after each part but the last, how sure those so far must be to answer alone.

    ``parts`` (reviews, parts) and ``logits`` (reviews,) are those of ``score_parts`` and of the
    whole model. All exits together change at most ``MOST_CHANGED`` of the labels (by the upper end
    of Wilson's 95 % interval). Each may use an equal share of the changes that are left, and its
    limit is a fifth above the lowest that keeps to this share. Empty if no limit can show this,
    which takes 3,838 reviews or more, or if no review exits. ``weights`` are those of
    ``fit_scale``.
    """
    allowed = len(labels) * MOST_CHANGED
    allowed = math.floor(allowed - Z_95 * math.sqrt(allowed * (1 - MOST_CHANGED)))
    if allowed < 0:
        return ()
    at, doubtful = logit(threshold), np.ones(len(labels), dtype=bool)
    exits: list[EarlyExit] = []
    for count in range(1, parts.shape[1]):
        factors = fit_scale(parts[:, :count], labels, weights)
        answers = parts[:, :count] @ np.array(factors)
        distance = np.abs(answers - at)
        changed = np.sort(distance[doubtful & ((answers >= at) != (logits >= at))])[::-1]
        share = allowed // (parts.shape[1] - count)
        limit = MARGIN * float(changed[share]) if len(changed) > share else 0.0
        allowed -= int((changed > limit).sum())
        doubtful &= distance <= limit
        exits.append(EarlyExit(factors=tuple(factors), limit=limit))
    return () if doubtful.all() else tuple(exits)


def _loss(
    scale: npt.NDArray[np.float64],
    branches: npt.NDArray[np.float64],
    labels: npt.NDArray[np.uint8],
    weights: npt.NDArray[np.float64],
) -> float:
    """Return the sum of the reviews' losses and of the pull towards 1."""
    logits = branches @ scale
    losses = weights * (np.logaddexp(0.0, logits) - labels * logits)
    return float(losses.sum() + ((scale - 1) ** 2).sum() / 2)
