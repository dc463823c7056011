"""The strongest n-grams, beside plain loops over the reviews."""

from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import torch

from sentiment.explain.strongest_ngrams import (
    LEAST_REVIEWS,
    MOST,
    UNKNOWN_WORD,
    strongest_ngrams,
)
from sentiment.model.batches import BatchSource
from sentiment.model.config import NgramsConfig
from sentiment.model.ngrams import BATCH_SIZE, MULTIPLIER, PRIME, Ngrams
from sentiment.text.tensors import EncodedReviews
from sentiment.text.vocabulary import SPECIAL, Vocabulary

WORDS = [*SPECIAL, *(f"w{n}" for n in range(2, 30))]
BUCKETS, FACTOR = 64, 1.7


def encoded(reviews: list[list[int]]) -> EncodedReviews:
    zeros = np.zeros(len(reviews), np.int32)
    return EncodedReviews(
        ids=np.array([n for review in reviews for n in review], np.int32),
        offsets=np.cumsum([0, *map(len, reviews)]).astype(np.int64),
        labels=zeros.astype(np.uint8),
        rows=zeros.astype(np.int64),
        words=zeros,
        unknown=zeros,
    )


def feature(words: tuple[int, ...]) -> int:
    code = words[0]
    for word in words[1:]:
        code = (code * MULTIPLIER + word) % PRIME
    return words[0] if len(words) == 1 else len(WORDS) + code % BUCKETS


@pytest.mark.parametrize("padding", ["right", "left"])
def test_the_strongest_ngrams_are_those_of_plain_loops(padding: str) -> None:
    random = np.random.default_rng(2)
    reviews = [random.integers(1, len(WORDS), random.integers(1, 12)).tolist() for _ in range(700)]
    reviews += [[7]] * BATCH_SIZE  # a batch without bigrams
    ngrams = Ngrams(NgramsConfig(max_n=2, buckets=BUCKETS), len(WORDS))
    with torch.no_grad():
        ngrams.weight.copy_(torch.tensor(random.normal(size=ngrams.weight.shape)))
        ngrams.idf.copy_(torch.tensor(random.uniform(0, 3, len(ngrams.idf))))
    source = BatchSource(
        encoded(reviews), padding=padding, max_length=12, device=torch.device("cpu")
    )
    found = strongest_ngrams(ngrams, FACTOR, Vocabulary(pa.array(WORDS)), source)

    holding: Counter[int] = Counter()
    named: dict[int, Counter[tuple[int, ...]]] = defaultdict(Counter)
    for review in reviews:
        windows = [(n,) for n in review] + [*pairwise(review)]
        holding.update({feature(each) for each in windows})
        for each in windows:
            named[feature(each)][each] += 1
    plain = (FACTOR * ngrams.weight[:, 0] * ngrams.idf).tolist()
    weights = {at: plain[at] for at, count in holding.items() if count >= LEAST_REVIEWS}
    for name, sign in (("positive", 1), ("negative", -1)):
        expected = sorted(weights, key=lambda at: -sign * weights[at])[:MOST]
        assert [row["weight"] for row in found[name]] == pytest.approx(
            [weights[at] for at in expected], rel=1e-5
        )
        assert [row["reviews"] for row in found[name]] == [holding[at] for at in expected]
        for row, at in zip(found[name], expected, strict=True):
            best = min(named[at], key=lambda each: (-named[at][each], each))
            assert row["text"] == " ".join(UNKNOWN_WORD if n == 1 else WORDS[n] for n in best)


def test_what_is_rare_or_weighs_nothing_is_left_out() -> None:
    ngrams = Ngrams(NgramsConfig(max_n=1), len(WORDS))
    with torch.no_grad():
        ngrams.weight[2:4] = torch.tensor([[1.0], [5.0]])
    reviews = [[2, 4]] * LEAST_REVIEWS + [[3]] * (LEAST_REVIEWS - 1)
    source = BatchSource(
        encoded(reviews), padding="right", max_length=9, device=torch.device("cpu")
    )
    found = strongest_ngrams(ngrams, 1.0, Vocabulary(pa.array(WORDS)), source)
    row = {"text": "w2", "weight": 1.0, "reviews": LEAST_REVIEWS}
    assert found == {"positive": [row], "negative": []}
