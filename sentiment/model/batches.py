"""Batches of encoded reviews: which reviews they contain, and how they are padded."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sentiment.text.tensors import EncodedReviews
from sentiment.text.vocabulary import PAD

POOL = 64  # batches whose reviews are sorted by length together


class Batch(NamedTuple):
    """``ids`` int64 (batch, steps), ``lengths`` int64 (batch,), ``labels`` float32 (batch,)."""

    ids: Tensor
    lengths: Tensor
    labels: Tensor


class BatchSource:
    """Encoded reviews on a device, where batches are gathered.

    ``padding`` is ``right`` (to the longest review of the batch) or ``left`` (to ``max_length``,
    which then counts as the length of every review).
    """

    def __init__(
        self, reviews: EncodedReviews, *, padding: str, max_length: int, device: torch.device
    ) -> None:
        # Lengths are kept on the host too: asking the device for a batch's longest would stall it.
        self.lengths = np.minimum(reviews.lengths, max_length)
        self._left = padding == "left"
        self._max_length = max_length
        self._device = device
        self._ids = torch.from_numpy(np.append(reviews.ids, np.int32(PAD))).to(device)
        self._starts = torch.from_numpy(reviews.offsets[:-1]).to(device)
        self._labels = torch.from_numpy(reviews.labels.astype(np.float32)).to(device)

    def __len__(self) -> int:
        return len(self.lengths)

    def take(self, places: npt.NDArray[np.int64]) -> Batch:
        """Gather the reviews at these positions (int64, shape (batch,)) into a batch."""
        lengths = torch.from_numpy(self.lengths[places]).to(self._device, non_blocking=True)
        steps = self._max_length if self._left else max(1, int(self.lengths[places].max()))
        rows = torch.from_numpy(places).to(self._device, non_blocking=True)
        step = torch.arange(steps, device=self._device)
        first = steps - lengths if self._left else torch.zeros_like(lengths)
        step = step - first[:, None]
        inside = (step >= 0) & (step < lengths[:, None])
        place = (self._starts[rows][:, None] + step).clamp(0, len(self._ids) - 1)
        ids = self._ids[place].masked_fill(~inside, PAD).long()
        # A review without words is read as one word of padding.
        read = torch.full_like(lengths, steps) if self._left else lengths.clamp(min=1)
        return Batch(ids, read, self._labels[rows])


def training_order(
    lengths: npt.NDArray[np.int64], batch_size: int, *, seed: int, epoch: int, by_length: bool
) -> list[npt.NDArray[np.int64]]:
    """Return an epoch's batches as positions of reviews: each once, shuffled by the seed.

    With ``by_length`` the shuffled reviews are sorted by length within pools of 64 batches, so that
    a batch needs little padding, and the batches are shuffled again. One batch may be smaller.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(lengths))
    if not by_length:
        return _slices(order, batch_size)
    batches = [
        batch
        for pool in _slices(order, POOL * batch_size)
        for batch in _slices(pool[np.argsort(lengths[pool], kind="stable")], batch_size)
    ]
    return [batches[place] for place in rng.permutation(len(batches))]


def scoring_order(
    lengths: npt.NDArray[np.int64], batch_size: int
) -> Iterator[npt.NDArray[np.int64]]:
    """Yield positions of reviews in batches of similar length, the shortest first."""
    yield from _slices(np.argsort(lengths, kind="stable"), batch_size)


def _slices(places: npt.NDArray[np.int64], size: int) -> list[npt.NDArray[np.int64]]:
    return [places[start : start + size] for start in range(0, len(places), size)]
