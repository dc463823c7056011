"""Excerpts: runs of ids from inside one review, with its label."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sentiment.excerpts import LONGEST, SHORTEST, add_excerpts
from sentiment.tensors import EncodedReviews, offsets_of

lengths = st.lists(st.integers(0, 60), min_size=1, max_size=20)


def reviews_of(sizes: list[int]) -> EncodedReviews:
    """Return reviews whose ids are all different, so that a run shows where it comes from."""
    count = len(sizes)
    return EncodedReviews(
        ids=np.arange(sum(sizes), dtype=np.int32),
        offsets=offsets_of(np.array(sizes)),
        labels=(np.arange(count) % 2).astype(np.uint8),
        rows=np.arange(count) + 100,
        words=np.array(sizes, np.int32),
        unknown=np.zeros(count, np.int32),
    )


@given(sizes=lengths, share=st.sampled_from([0.0, 0.3, 1.0, 2.5]), seed=st.integers(0, 9))
def test_excerpts_are_runs_of_their_review(sizes: list[int], share: float, seed: int) -> None:
    reviews = reviews_of(sizes)
    more = add_excerpts(reviews, share, seed)
    count = len(reviews)
    assert len(more) == count + round(share * count)
    assert more.ids[: len(reviews.ids)].tolist() == reviews.ids.tolist()
    assert more.offsets[: count + 1].tolist() == reviews.offsets.tolist()
    for place in range(count, len(more)):
        ids = more.ids[more.offsets[place] : more.offsets[place + 1]].tolist()
        review = int(more.rows[place]) - 100
        assert more.labels[place] == reviews.labels[review]
        assert min(SHORTEST, sizes[review]) <= len(ids) <= LONGEST
        if ids:
            assert ids == list(range(ids[0], ids[0] + len(ids)))
            assert reviews.offsets[review] <= ids[0]
            assert ids[-1] < reviews.offsets[review + 1]


@given(sizes=lengths)
def test_every_review_gives_its_part(sizes: list[int]) -> None:
    more = add_excerpts(reviews_of(sizes), 2.0, seed=1)
    assert np.bincount(more.rows - 100).tolist() == [3] * len(sizes)


def test_the_seed_chooses() -> None:
    reviews = reviews_of([50] * 10)
    first, again, other = (add_excerpts(reviews, 1.0, seed).ids.tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other
