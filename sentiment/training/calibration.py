"""Calibration: how much the logits of a model's parts count, so that probabilities come true.

Parts that were trained side by side are too sure of themselves when they are added up. With one
part this is temperature scaling (Guo et al. 2017).
"""

import numpy as np
import numpy.typing as npt

STEPS = 50
CLOSE = 1e-10


def fit_scale(parts: npt.NDArray[np.float64], labels: npt.NDArray[np.uint8]) -> list[float]:
    """Return the factor of each part, for the lowest loss of ``parts @ factors``.

    ``parts`` are logits of shape (reviews, parts), ``labels`` 0 or 1 of shape (reviews,). A factor
    is drawn to 1 with the strength of one review, which keeps it finite where the parts make no
    mistake. Logits that are no numbers give factors of 1.
    """
    scale = np.ones(parts.shape[1])
    if not np.isfinite(parts).all():
        return scale.tolist()
    loss = _loss(scale, parts, labels)
    for _ in range(STEPS):
        chance = 0.5 * (1 + np.tanh(0.5 * (parts @ scale)))
        slope = parts.T @ (chance - labels) + (scale - 1)
        curvature = (parts.T * (chance * (1 - chance))) @ parts + np.eye(len(scale))
        step = np.linalg.solve(curvature, slope)
        while (tried := _loss(scale - step, parts, labels)) > loss:
            step /= 2  # Newton's step goes too far where the curvature grows
        scale = scale - step
        if loss - tried <= CLOSE * loss:
            break
        loss = tried
    return scale.tolist()


def _loss(
    scale: npt.NDArray[np.float64],
    parts: npt.NDArray[np.float64],
    labels: npt.NDArray[np.uint8],
) -> float:
    """Return the sum of the reviews' losses and of the pull to 1."""
    logits = parts @ scale
    return float((np.logaddexp(0.0, logits) - labels * logits).sum() + ((scale - 1) ** 2).sum() / 2)
