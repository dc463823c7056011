"""Weights of the two classes in the loss, so that a rare one is not overlooked."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

ClassWeights: TypeAlias = npt.NDArray[np.float64]  # of negative and positive, shape (2,)


def class_weights(
    wanted: str | Mapping[Literal["negative", "positive"], float] | None,
    labels: npt.NDArray[np.uint8],
) -> ClassWeights | None:
    """Return the weights for these training ``labels``, (reviews,) of 0 and 1; None for none.

    ``wanted`` is ``train.class_weight``. The reviews' weights have a mean of 1, so that they change
    no step's size; with ``balanced`` each class has half of their sum. Both classes must occur.
    """
    if wanted is None:
        return None
    counts = np.bincount(labels, minlength=2)
    weights: ClassWeights = (
        1 / counts
        if isinstance(wanted, str)
        else np.array([wanted["negative"], wanted["positive"]], np.float64)
    )
    return weights * (len(labels) / float(counts @ weights))
