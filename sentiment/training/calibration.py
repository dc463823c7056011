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
MARGIN = 1e-3  # of its limit, far more than a batch moves a logit


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


def fit_early_exit(
    branches: npt.NDArray[np.float64],
    labels: npt.NDArray[np.uint8],
    scale: npt.NDArray[np.float64],
    threshold: float,
    weights: npt.NDArray[np.float64] | None = None,
) -> EarlyExit | None:
    """Return how sure the n-grams, the last branch, must be to answer without the LSTM.

    The limit is the lowest at which so few validation labels change that at most ``MOST_CHANGED``
    of all labels do (by the upper end of Wilson's 95 % interval). None if no limit can show this,
    which takes 3,838 reviews or more. The other arguments are those of ``fit_scale`` and its
    result.
    """
    allowed = len(labels) * MOST_CHANGED
    allowed = math.floor(allowed - Z_95 * math.sqrt(allowed * (1 - MOST_CHANGED)))
    if allowed < 0:
        return None
    (factor,) = fit_scale(branches[:, -1:], labels, weights)
    alone, at = factor * branches[:, -1], logit(threshold)
    distance = np.abs(alone - at)
    changed = np.sort(distance[(alone >= at) != (branches @ scale >= at)])[::-1]
    limit = float(changed[allowed]) + MARGIN if len(changed) > allowed else 0.0
    return EarlyExit(scale=factor, limit=limit) if (distance > limit).any() else None


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
