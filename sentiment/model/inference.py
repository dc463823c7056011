"""Batched inference: the logits of many reviews, in batches of similar length."""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from itertools import zip_longest
from threading import Barrier, Lock
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from sentiment.model.batches import BatchSource, Places, scoring_order
from sentiment.model.devices import has_bfloat16
from sentiment.model.lstm import BATCH_SIZE, Part, SentimentLSTM
from sentiment.progress import Progress, silent
from sentiment.settings import Settings

WORKERS = 8  # each holds a batch's states, about 150 MiB with the longest reviews

BranchLogits = npt.NDArray[np.float64]

_STARTING = Lock()


class FastScores(NamedTuple):
    """Logits, and which of them a part of the model gave; each (reviews,)."""

    logits: npt.NDArray[np.float64]
    exited: npt.NDArray[np.bool_]


class EarlyExit(Settings):
    """When a part of the model answers alone; fitted on the validation reviews.

    The parts' logits, each times its factor, add up to a calibrated logit. It is the answer where
    it is further than ``limit`` from the threshold's logit.
    """

    factors: tuple[float, ...]
    limit: float

    def answer(
        self, parts: npt.NDArray[np.float64], threshold: float
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """Return calibrated logits, and which of them are answers, each (reviews,).

        ``parts`` (reviews, parts) are the logits of as many parts as there are factors.
        ``threshold`` is the probability for which the limit was fitted.
        """
        logits: npt.NDArray[np.float64] = parts @ np.array(self.factors)
        return logits, np.abs(logits - logit(threshold)) > self.limit


def score(
    model: SentimentLSTM, source: BatchSource, progress: Progress = silent
) -> npt.NDArray[np.float64]:
    """Return the logit of every review, in the reviews' order, shape (reviews,)."""
    return combine(score_branches(model, source, progress), model)


def score_fast(
    model: SentimentLSTM, source: BatchSource, exits: Sequence[EarlyExit], threshold: float
) -> FastScores:
    """Return the logit of every review, read by each part only where those before are in doubt.

    ``exits[i]`` is asked after part ``i``. The model must have n-grams. A CPU that has instructions
    for bfloat16 reads the LSTM's directions with them, in about half the time.
    """
    logits, exited = np.empty(len(source)), np.zeros(len(source), dtype=bool)
    doubtful, known = np.arange(len(source)), np.empty((len(source), 0))
    parts = model.parts(rounded=has_bfloat16(next(model.parameters()).device))
    for part, leave in zip_longest(parts, exits):
        known = np.hstack([known, _score_batches(part, 1, model, source, doubtful)])
        if leave is not None:
            answers, sure = leave.answer(known, threshold)
            logits[doubtful[sure]], exited[doubtful[sure]] = answers[sure], True
            doubtful, known = doubtful[~sure], known[~sure]
    logits[doubtful] = combine_parts(known, model)
    return FastScores(logits, exited)


def score_parts(model: SentimentLSTM, source: BatchSource) -> BranchLogits:
    """Return the logits of the model's parts, in the reviews' order, shape (reviews, parts)."""
    everywhere = np.arange(len(source))
    parts = model.parts(rounded=False)
    return np.hstack([_score_batches(part, 1, model, source, everywhere) for part in parts])


def combine_parts(parts: npt.NDArray[np.float64], model: SentimentLSTM) -> npt.NDArray[np.float64]:
    """Add up logits of shape (reviews, parts) as a model with n-grams does; shape (reviews,)."""
    return combine(np.column_stack([parts[:, 1:].sum(axis=1), parts[:, 0]]), model)


def combine(branches: npt.NDArray[np.float64], model: SentimentLSTM) -> npt.NDArray[np.float64]:
    """Add up logits of shape (reviews, branches) as the model does; return shape (reviews,)."""
    logits: npt.NDArray[np.float64] = (branches * model.scale.double().cpu().numpy()).sum(axis=1)
    return logits


def score_branches(
    model: SentimentLSTM, source: BatchSource, progress: Progress = silent
) -> BranchLogits:
    """Return each branch's logits, in the reviews' order, shape (reviews, branches)."""
    everywhere, columns = np.arange(len(source)), len(model.branch_names)
    branches = Part(model.branches, BATCH_SIZE)
    return _score_batches(branches, columns, model, source, everywhere, progress)


def _score_batches(
    part: Part,
    columns: int,
    model: SentimentLSTM,
    source: BatchSource,
    reviews: Places,
    progress: Progress = silent,
) -> BranchLogits:
    """Return a part's logits of these reviews, shape (reviews, columns)."""
    logits = np.empty((len(reviews), columns), dtype=np.float64)
    was_training = model.training
    model.eval()

    def answer(places: Places) -> tuple[Places, BranchLogits]:
        batch = source.take(reviews[places])
        with torch.inference_mode():
            found = part.logits(batch.ids, batch.lengths).view(len(places), columns)
            return places, found.double().cpu().numpy()

    # The longest first, so that no thread ends long after the others.
    batches = list(scoring_order(source.lengths[reviews], part.batch_size))[::-1]
    on_cpu = next(model.parameters()).device.type == "cpu"
    done = 0
    for places, found in side_by_side(answer, batches) if on_cpu else map(answer, batches):
        logits[places] = found
        done += len(places)
        progress(done, len(reviews))
    model.train(was_training)
    return logits


def side_by_side(
    answer: Callable[[Places], tuple[Places, BranchLogits]], batches: Sequence[Places]
) -> Iterator[tuple[Places, BranchLogits]]:
    """Score several batches at a time: an LSTM's single steps are too small to parallelise."""
    with _pool(len(batches)) as pool:
        yield from map(answer, batches) if pool is None else pool.map(answer, batches)


@contextmanager
def _pool(tasks: int) -> Iterator[ThreadPoolExecutor | None]:
    """Divide PyTorch's threads among those of a pool; yield None where there is only one.

    A thread's first call into PyTorch takes the number of threads that was set last, anywhere. So
    the pool's threads set theirs together, before any task, and then the process's is restored.
    """
    with _STARTING:  # or a caller in another thread might see the pool's number
        threads = torch.get_num_threads()
        workers = min(threads, WORKERS, tasks)
        ready = Barrier(workers + 1, timeout=60)

        def begin() -> None:
            torch.get_num_threads()  # the first call would undo the setting
            torch.set_num_threads(max(1, threads // workers))
            ready.wait()

        pool = ThreadPoolExecutor(workers, "score", begin) if workers > 1 else None
        if pool is not None:
            for _ in range(workers):  # none is idle before all have started
                pool.submit(int)
            ready.wait()
            torch.set_num_threads(threads)
    with pool or nullcontext():
        yield pool


def probabilities(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the logistic function of the logits, without overflow."""
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1.0, small) / (1.0 + small)


def logit(probability: float) -> float:
    """Return the logit of a probability within (0, 1)."""
    return math.log(probability / (1 - probability))


def binary_cross_entropy(
    logits: npt.NDArray[np.float64],
    labels: npt.NDArray[np.uint8],
    weights: npt.NDArray[np.float64] | None = None,
) -> float:
    """Return the (weighted) mean loss in nats; NaN for logits that are NaN."""
    with np.errstate(invalid="ignore"):
        losses = np.logaddexp(0.0, logits) - labels * logits
    return float(losses.mean() if weights is None else np.average(losses, weights=weights))
