"""The logits of many reviews, in batches of similar length."""

import numpy as np
import numpy.typing as npt
import torch

from sentiment.batches import BatchSource, scoring_order
from sentiment.model import SentimentLSTM
from sentiment.progress import Progress, silent

BATCH_SIZE = 256


def score(
    model: SentimentLSTM, source: BatchSource, progress: Progress = silent
) -> npt.NDArray[np.float64]:
    """Return the logit of every review, in the reviews' order, shape (reviews,)."""
    return combine(score_parts(model, source, progress), model)


def combine(parts: npt.NDArray[np.float64], model: SentimentLSTM) -> npt.NDArray[np.float64]:
    """Add up the parts' logits, (reviews, parts), as the model does; return shape (reviews,)."""
    logits: npt.NDArray[np.float64] = (parts * model.scale.double().cpu().numpy()).sum(axis=1)
    return logits


def score_parts(
    model: SentimentLSTM, source: BatchSource, progress: Progress = silent
) -> npt.NDArray[np.float64]:
    """Return the logits of the model's parts, in the reviews' order, shape (reviews, parts)."""
    logits = np.empty((len(source), len(model.part_names)), dtype=np.float64)
    was_training = model.training
    model.eval()
    done = 0
    with torch.inference_mode():
        for places in scoring_order(source.lengths, BATCH_SIZE):
            batch = source.take(places)
            logits[places] = model.parts(batch.ids, batch.lengths).double().cpu().numpy()
            done += len(places)
            progress(done, len(source))
    model.train(was_training)
    return logits


def probabilities(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the logistic function of the logits, without overflow."""
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1.0, small) / (1.0 + small)


def binary_cross_entropy(logits: npt.NDArray[np.float64], labels: npt.NDArray[np.uint8]) -> float:
    """Return the mean loss in nats; that of logits that are no numbers is none either."""
    with np.errstate(invalid="ignore"):
        losses = np.logaddexp(0.0, logits) - labels * logits
    return float(losses.mean())
