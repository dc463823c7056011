"""Padding against a plain loop, and orders in which every review comes once."""

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from threading import Event

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sentiment.errors import StorageError
from sentiment.model.batches import (
    POOL,
    BatchSource,
    one_ahead,
    one_behind,
    scoring_order,
    training_order,
)
from sentiment.text.tensors import Cut, EncodedReviews, offsets_of, on_disk
from sentiment.text.vocabulary import PAD

CPU = torch.device("cpu")
id_lists = st.lists(st.lists(st.integers(1, 99), max_size=9), min_size=1, max_size=8)


def encoded(reviews: list[list[int]]) -> EncodedReviews:
    lengths = np.array([len(review) for review in reviews], dtype=np.int32)
    return EncodedReviews(
        ids=np.array([number for review in reviews for number in review], dtype=np.int32),
        offsets=offsets_of(lengths),
        labels=np.array([n % 2 for n in range(len(reviews))], dtype=np.uint8),
        rows=np.arange(len(reviews)),
        words=lengths,
        unknown=np.zeros(len(reviews), np.int32),
    )


def source(
    reviews: list[list[int]], padding: str, max_length: int, cut: Cut = "end"
) -> BatchSource:
    return BatchSource(
        encoded(reviews), padding=padding, max_length=max_length, device=CPU, cut=cut
    )


@st.composite
def requests(draw: st.DrawFn) -> tuple[list[list[int]], npt.NDArray[np.int64], int]:
    """Reviews, places of some of them (perhaps one of them twice), and a longest length."""
    reviews = draw(id_lists)
    places = draw(st.lists(st.integers(0, len(reviews) - 1), min_size=1, max_size=6))
    return reviews, np.array(places, dtype=np.int64), draw(st.integers(1, 10))


CUTS: st.SearchStrategy[Cut] = st.sampled_from(["end", "middle"])


def shortened(review: list[int], max_length: int, cut: Cut) -> list[int]:
    if cut == "end" or len(review) <= max_length:
        return review[:max_length]
    tail = max_length // 2
    return review[: max_length - tail] + review[len(review) - tail :]


@given(requests(), CUTS)
def test_padding_on_the_right_is_that_of_a_plain_loop(
    request: tuple[list[list[int]], npt.NDArray[np.int64], int], cut: Cut
) -> None:
    reviews, places, max_length = request
    batch = source(reviews, "right", max_length, cut).take(places)
    chosen = [shortened(reviews[place], max_length, cut) for place in places]
    # A review without a word is read as one word of padding.
    steps = max(1, *(len(review) for review in chosen))
    assert batch.ids.tolist() == [review + [PAD] * (steps - len(review)) for review in chosen]
    assert batch.lengths.tolist() == [max(1, len(review)) for review in chosen]
    assert batch.labels.tolist() == [place % 2 for place in places]


@given(requests(), st.sampled_from(["left", "right"]), CUTS)
def test_batches_from_a_file_are_those_from_memory(
    tmp_path_factory: pytest.TempPathFactory,
    request: tuple[list[list[int]], npt.NDArray[np.int64], int],
    padding: str,
    cut: Cut,
) -> None:
    reviews, places, max_length = request
    folder = tmp_path_factory.mktemp("reviews")
    encoded(reviews).save(folder / "tensors.parquet")
    expected = source(reviews, padding, max_length, cut).take(places)

    def check(mapped: EncodedReviews) -> None:
        batches = BatchSource(mapped, padding=padding, max_length=max_length, device=CPU, cut=cut)
        for got, wanted in zip(batches.take(places), expected, strict=True):
            assert got.dtype == wanted.dtype
            assert got.tolist() == wanted.tolist()

    on_disk([folder / "tensors.parquet"], folder, check)


def test_a_file_that_ends_too_early_is_an_error(tmp_path: Path) -> None:
    encoded([[5, 6], [7, 8, 9]]).save(tmp_path / "tensors.parquet")

    def check(mapped: EncodedReviews) -> None:
        batches = BatchSource(mapped, padding="right", max_length=9, device=CPU)
        assert mapped.file is not None
        os.truncate(mapped.file, 13)
        assert batches.take(np.array([0])).ids.tolist() == [[5, 6]]
        with pytest.raises(StorageError, match="ids: ends too early"):
            batches.take(np.array([1]))

    on_disk([tmp_path / "tensors.parquet"], tmp_path, check)


@given(requests(), CUTS)
def test_padding_on_the_left_is_that_of_a_plain_loop(
    request: tuple[list[list[int]], npt.NDArray[np.int64], int], cut: Cut
) -> None:
    reviews, places, max_length = request
    batch = source(reviews, "left", max_length, cut).take(places)
    chosen = [shortened(reviews[place], max_length, cut) for place in places]
    assert batch.ids.tolist() == [[PAD] * (max_length - len(review)) + review for review in chosen]
    assert batch.lengths.tolist() == [max_length] * len(places)
    assert batch.labels.tolist() == [place % 2 for place in places]


@pytest.mark.parametrize("padding", ["right", "left"])
def test_a_review_without_a_word_is_padding(padding: str) -> None:
    for reviews in ([[]], [[], [5, 6]], [[5, 6], []]):
        batch = source(reviews, padding, 4).take(np.array([reviews.index([])]))
        assert set(batch.ids.flatten().tolist()) == {PAD}
        assert batch.lengths.tolist() == [batch.ids.shape[1]]


@pytest.mark.parametrize("padding", ["right", "left"])
def test_batches_have_the_promised_types(padding: str) -> None:
    batch = source([[1, 2], [3]], padding, 4).take(np.array([1, 0]))
    assert (batch.ids.dtype, batch.lengths.dtype, batch.labels.dtype) == (
        torch.int64,
        torch.int64,
        torch.float32,
    )


def test_the_ids_of_all_reviews_take_four_bytes_each() -> None:
    assert source([[1, 2], [3]], "right", 4)._ids.dtype == torch.int32


def test_a_source_knows_how_many_reviews_and_how_long() -> None:
    reviews = source([[1, 2, 3], [], [4]], "right", 2)
    assert len(reviews) == 3
    assert reviews.lengths.tolist() == [2, 0, 1]


def test_one_ahead_changes_nothing_and_makes_one_item_early() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(5):
            made.append(number)
            yield number

    seen = []
    for number in one_ahead(items()):
        seen.append(number)
        assert len(made) <= number + 2
    assert seen == made == [0, 1, 2, 3, 4]


def test_a_fault_one_ahead_is_raised_in_its_turn() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    ahead = one_ahead(items())
    assert next(ahead) == 1
    with pytest.raises(OSError, match="gone"):
        next(ahead)


def test_one_behind_makes_the_next_item_while_a_thread_is_at_work() -> None:
    made, met = Event(), []

    def items() -> Iterator[int]:
        yield 1
        made.set()
        yield 2

    def square(number: int) -> int:
        met.append(made.wait(60))
        return number**2

    assert [*one_behind(square, items())] == [1, 4]
    assert met == [True, True]


def test_faults_one_behind_are_raised_in_their_turn() -> None:
    behind = one_behind(lambda number: 6 // number, iter([2, 1, 0, 3]))
    assert [next(behind), next(behind)] == [3, 6]
    with pytest.raises(ZeroDivisionError):
        next(behind)


lengths = st.lists(st.integers(0, 50), min_size=1, max_size=90).map(np.array)


@given(lengths, st.integers(1, 12), st.integers(0, 3), st.integers(0, 3), st.booleans())
def test_training_takes_every_review_once_in_batches_of_the_size(
    lengths: npt.NDArray[np.int64], batch_size: int, seed: int, epoch: int, by_length: bool
) -> None:
    order = [*training_order(lengths, batch_size, seed=seed, epoch=epoch, by_length=by_length)]
    assert sorted(np.concatenate(order).tolist()) == list(range(len(lengths)))
    whole, left = divmod(len(lengths), batch_size)
    # One batch may be smaller, wherever it comes.
    assert sorted(map(len, order)) == [left] * bool(left) + [batch_size] * whole


@given(lengths, st.integers(1, 12), st.booleans())
def test_the_seed_and_the_epoch_decide_the_order(
    lengths: npt.NDArray[np.int64], batch_size: int, by_length: bool
) -> None:
    def order(seed: int, epoch: int) -> list[list[int]]:
        batches = training_order(lengths, batch_size, seed=seed, epoch=epoch, by_length=by_length)
        return [batch.tolist() for batch in batches]

    assert order(3, 1) == order(3, 1)


@pytest.mark.parametrize("by_length", [True, False])
def test_another_seed_or_epoch_is_another_order(by_length: bool) -> None:
    lengths = np.arange(300) % 37
    orders = {
        tuple(np.concatenate([*training_order(lengths, 8, seed=s, epoch=e, by_length=by_length)]))
        for s in range(3)
        for e in range(3)
    }
    assert len(orders) == 9


def padded(lengths: npt.NDArray[np.int64], order: list[npt.NDArray[np.int64]]) -> int:
    return sum(int(lengths[batch].max()) * len(batch) for batch in order) - int(lengths.sum())


def test_batches_by_length_need_little_padding() -> None:
    lengths = np.random.default_rng(1).integers(1, 200, 3_000)
    by_length = list(training_order(lengths, 20, seed=1, epoch=0, by_length=True))
    shuffled = list(training_order(lengths, 20, seed=1, epoch=0, by_length=False))
    assert padded(lengths, by_length) < 0.1 * padded(lengths, shuffled)


def test_batches_by_length_do_not_come_by_length() -> None:
    lengths = np.random.default_rng(1).integers(1, 200, 3_000)
    order = list(training_order(lengths, 20, seed=1, epoch=0, by_length=True))
    longest = [int(lengths[batch].max()) for batch in order]
    rises = sum(a < b for a, b in pairwise(longest))
    assert 0.3 < rises / len(longest) < 0.7


def test_reviews_of_one_length_meet_others_in_each_epoch() -> None:
    lengths = np.full(40 * POOL, 10)
    first, second = (
        {
            frozenset(batch.tolist())
            for batch in training_order(lengths, 20, seed=1, epoch=epoch, by_length=True)
        }
        for epoch in (0, 1)
    )
    assert not first & second


@given(lengths, st.integers(1, 12))
def test_scoring_takes_every_review_once_the_shortest_first(
    lengths: npt.NDArray[np.int64], batch_size: int
) -> None:
    order = list(scoring_order(lengths, batch_size))
    places = np.concatenate(order)
    assert sorted(places.tolist()) == list(range(len(lengths)))
    assert lengths[places].tolist() == sorted(lengths.tolist())
    assert [len(batch) for batch in order[:-1]] == [batch_size] * (len(order) - 1)
    assert 1 <= len(order[-1]) <= batch_size
