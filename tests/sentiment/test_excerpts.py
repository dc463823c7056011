"""Excerpts are runs of their reviews, whatever the batch."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from sentiment.batches import Batch
from sentiment.excerpts import LONGEST, SHORTEST, cut_excerpts
from sentiment.vocabulary import PAD

reviews = st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=50), min_size=1, max_size=6)


def batch_of(texts: list[list[int]]) -> Batch:
    steps = max(map(len, texts))
    ids = torch.tensor([text + [PAD] * (steps - len(text)) for text in texts])
    labels = torch.arange(len(texts)).float()
    return Batch(ids, torch.tensor([len(text) for text in texts]), labels)


@given(reviews, st.integers(1, 3), st.integers(0, 999))
def test_an_excerpt_is_a_run_of_its_review(texts: list[list[int]], count: int, seed: int) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        found = cut_excerpts(batch_of(texts), count)
    assert found.labels.tolist() == list(range(len(texts))) * count
    for row, label, length in zip(found.ids.tolist(), found.labels, found.lengths, strict=True):
        text, words = texts[int(label)], row[: int(length)]
        assert min(SHORTEST, len(text)) <= length <= min(LONGEST, len(text))
        assert any(words == text[at : at + len(words)] for at in range(len(text)))
        assert set(row[int(length) :]) <= {PAD}


def test_every_place_and_size_comes_up() -> None:
    text = list(range(1, 41))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        found = cut_excerpts(batch_of([text]), 3_000)
    assert set(found.lengths.tolist()) == set(range(SHORTEST, LONGEST + 1))
    last = found.ids.gather(1, found.lengths[:, None] - 1)
    assert {int(first) for first in found.ids[:, 0]} == set(range(1, 41 - SHORTEST + 1))
    assert int(last.max()) == 40
