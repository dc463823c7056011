"""Batches of encoded reviews: which reviews they contain, and how they are padded."""

import math
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sentiment.errors import StorageError
from sentiment.text.tensors import Cut, EncodedReviews, ends, offsets_of
from sentiment.text.vocabulary import PAD

Places: TypeAlias = npt.NDArray[np.int64]  # positions of reviews
Item = TypeVar("Item")
Result = TypeVar("Result")

POOL = 64  # batches whose reviews are sorted by length together


class Batch(NamedTuple):
    """``ids`` int64 (batch, steps), ``lengths`` int64 (batch,), ``labels`` float32 (batch,)."""

    ids: Tensor
    lengths: Tensor
    labels: Tensor


class BatchSource:
    """Encoded reviews, of which batches are gathered for a device.

    ``padding`` is ``right`` (to the longest review of the batch) or ``left`` (to ``max_length``,
    which then counts as the length of every review). A review longer than ``max_length``
    loses its ``cut``: its end or its middle. Ids in memory are moved to the device. Those in a file
    stay there, unless they take a small part of a GPU's memory.
    """

    def __init__(
        self,
        reviews: EncodedReviews,
        *,
        padding: str,
        max_length: int,
        device: torch.device,
        cut: Cut = "end",
    ) -> None:
        # Lengths are kept on the host too: asking the device for a batch's longest would stall it.
        self.lengths = np.minimum(reviews.lengths, max_length)
        self._head, self._tail = ends(max_length, cut)
        self._left = padding == "left"
        self._max_length = max_length
        self._device = device
        self._reviews = reviews
        ids = reviews.ids if len(reviews.ids) else np.full(1, PAD, np.int32)
        self._file = reviews.file if len(reviews.ids) and not _fits(ids, device) else None
        if self._file is None:
            self._ids = torch.tensor(ids, device=device)

    def __len__(self) -> int:
        return len(self.lengths)

    def ahead(self, batches: Iterator[Item]) -> Iterator[Item]:
        """Yield each batch, and gather the next meanwhile if a GPU would have to wait for it."""
        waits = self._file is not None and self._device.type == "cuda"
        return one_ahead(batches) if waits else batches

    def take(self, places: Places) -> Batch:
        """Gather the reviews at these positions (int64, shape (batch,)) into a batch."""
        host, starts = self.lengths[places], self._reviews.offsets[places]
        spans = self._reviews.offsets[places + 1] - starts if self._tail else host
        if self._file is None:
            ids = self._ids
        else:
            read = torch.from_numpy(_read(self._file, starts, spans))
            if self._device.type == "cuda":
                read = read.pin_memory()  # or the copy would make this thread wait
            ids, starts = read.to(self._device, non_blocking=True), offsets_of(spans)[:-1]
        lengths, begins = self._tensor(host), self._tensor(starts)
        steps = self._max_length if self._left else max(1, int(host.max()))
        step = torch.arange(steps, device=self._device)
        first = steps - lengths if self._left else torch.zeros_like(lengths)
        step = step - first[:, None]
        inside = (step >= 0) & (step < lengths[:, None])
        place = begins[:, None] + step
        if self._tail:
            place += (step >= self._head) * self._tensor(spans - host)[:, None]
        place = place.clamp(0, len(ids) - 1)
        padded = ids[place].masked_fill(~inside, PAD).long()
        # A review without words is read as one word of padding.
        counted = torch.full_like(lengths, steps) if self._left else lengths.clamp(min=1)
        return Batch(padded, counted, self._tensor(self._reviews.labels[places].astype(np.float32)))

    def _tensor(self, array: npt.NDArray[Any]) -> Tensor:
        """Move an array to the device, without waiting until it is there."""
        return torch.from_numpy(array).to(self._device, non_blocking=True)


def _read(
    path: Path, starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
) -> npt.NDArray[np.int32]:
    """Read runs of ids from a file, one after the other; ``starts`` and ``lengths`` are in ids.

    Through a mapping, most of the file would soon count as this process's memory.
    """
    size = np.dtype(np.int32).itemsize
    with path.open("rb", buffering=0) as file:
        read = [
            os.pread(file.fileno(), length, start)
            for start, length in zip(
                (size * starts).tolist(), (size * lengths).tolist(), strict=True
            )
        ]
    content = bytearray().join(read)
    if len(content) != size * lengths.sum():
        raise StorageError(f"{path}: ends too early. Is the disk full? Run again to resume.")
    return np.frombuffer(content, np.int32) if content else np.full(1, PAD, np.int32)


def _fits(ids: npt.NDArray[np.int32], device: torch.device) -> bool:
    """Return whether the ids take at most a quarter of a GPU's memory."""
    return device.type == "cuda" and ids.nbytes <= torch.cuda.mem_get_info(device)[1] // 4


def one_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Yield each item while a thread makes the next; None ends them."""
    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(next, items, None)
        while (item := following.result()) is not None:
            following = thread.submit(next, items, None)
            yield item


def one_behind(function: Callable[[Item], Result], items: Iterator[Item]) -> Iterator[Result]:
    """Yield the function's results in order; a thread computes one while the next item is made."""
    with ThreadPoolExecutor(1) as thread:
        waiting: deque[Future[Result]] = deque()
        for item in items:
            waiting.append(thread.submit(function, item))
            if len(waiting) > 1:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def training_order(
    lengths: npt.NDArray[np.int64], batch_size: int, *, seed: int, epoch: int, by_length: bool
) -> Iterator[Places]:
    """Yield an epoch's batches as positions of reviews: each once, shuffled by the seed.

    With ``by_length`` the shuffled reviews are sorted by length within pools of 64 batches, so that
    a batch needs little padding, and the batches are shuffled again. One batch may be smaller.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(lengths))
    batches = np.arange(math.ceil(len(order) / batch_size))
    if by_length:
        for pool in _slices(order, POOL * batch_size):
            pool[:] = pool[np.argsort(lengths[pool], kind="stable")]
        batches = rng.permutation(len(batches))
    for number in batches:
        yield order[number * batch_size : (number + 1) * batch_size]


def scoring_order(lengths: npt.NDArray[np.int64], batch_size: int) -> Iterator[Places]:
    """Yield positions of reviews in batches of similar length, the shortest first."""
    yield from _slices(np.argsort(lengths, kind="stable"), batch_size)


def _slices(places: Places, size: int) -> Iterator[Places]:
    return (places[start : start + size] for start in range(0, len(places), size))
