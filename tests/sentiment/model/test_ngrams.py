"""The n-gram branch against plain Python: sets of n-grams, document frequencies, a dot product."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sentiment.model.batches import BatchSource
from sentiment.model.config import NgramsConfig
from sentiment.model.ngrams import MULTIPLIER, PRIME, Ngrams, uneven_use
from sentiment.text.tensors import EncodedReviews, offsets_of
from sentiment.text.vocabulary import PAD

WORDS = 12
Review = list[int]
reviews = st.lists(st.integers(1, WORDS - 1), min_size=1, max_size=9)


def make(max_n: int = 2, buckets: int = 64, min_count: int = 1, **settings: float) -> Ngrams:
    config = NgramsConfig(
        max_n=max_n, buckets=buckets, min_count=min_count, norm_smoothing=2.0, **settings
    )
    return Ngrams(config, WORDS)


def plain_features(review: Review, max_n: int, buckets: int) -> set[int]:
    """Return the features of a review by plain loops."""
    found = set(review)
    for n in range(2, max_n + 1):
        for start in range(len(review) - n + 1):
            code = review[start]
            for word in review[start + 1 : start + n]:
                code = (code * MULTIPLIER + word) % PRIME
            found.add(WORDS + code % buckets)
    return found


def encoded(texts: list[Review], labels: list[int] | None = None) -> EncodedReviews:
    nothing = np.zeros(len(texts), np.int32)
    return EncodedReviews(
        ids=np.array([word for text in texts for word in text], np.int32),
        offsets=offsets_of(np.array([len(text) for text in texts])),
        labels=nothing.astype(np.uint8) if labels is None else np.array(labels, np.uint8),
        rows=nothing.astype(np.int64),
        words=nothing,
        unknown=nothing,
    )


def source_of(texts: list[Review], labels: list[int] | None = None) -> BatchSource:
    reviews = encoded(texts, labels)
    return BatchSource(reviews, padding="right", max_length=99, device=torch.device("cpu"))


@given(reviews, st.integers(1, 4), st.integers(1, 40), st.integers(0, 5), st.integers(0, 5))
def test_a_review_is_the_set_of_its_ngrams_wherever_the_padding_stands(
    review: Review, max_n: int, buckets: int, left: int, right: int
) -> None:
    ids = torch.tensor([[PAD] * left + review + [PAD] * right])
    features, present = make(max_n, buckets).features(ids)
    counted = features[present].tolist()
    assert len(counted) == len(set(counted))
    assert set(counted) == plain_features(review, max_n, buckets)


def test_the_order_of_words_makes_another_bigram() -> None:
    ngrams = make(buckets=2**20)
    there, back = (set(ngrams.features(torch.tensor([r]))[0][0].tolist()) for r in ([2, 3], [3, 2]))
    assert there != back
    assert there & back == {2, 3}


@given(st.lists(reviews, min_size=1, max_size=8), st.integers(1, 3))
def test_idf_is_that_of_plain_counting(texts: list[Review], min_count: int) -> None:
    ngrams = make(min_count=min_count)
    ngrams.fit_idf(source_of(texts))
    sets = [plain_features(text, 2, 64) for text in texts]
    for feature, idf in enumerate(ngrams.idf.tolist()):
        count = sum(feature in features for features in sets)
        expected = math.log((1 + len(texts)) / (1 + count)) + 1 if count >= min_count else 0
        assert idf == pytest.approx(expected, rel=1e-6)


@given(
    st.lists(st.tuples(reviews, st.integers(0, 1)), min_size=1, max_size=8),
    st.integers(1, 3),
    st.sampled_from([0.5, 1.0, 5.0]),
)
def test_uneven_use_is_that_of_plain_counting(
    texts: list[tuple[Review, int]], min_count: int, smoothing: float
) -> None:
    ngrams, idf = make(min_count=min_count, ratio_smoothing=smoothing), make(min_count=min_count)
    source = source_of(*(list(column) for column in zip(*texts, strict=True)))
    ngrams.fit_idf(source)
    idf.fit_idf(source)
    sets = [(plain_features(text, 2, 64), label) for text, label in texts]
    counted = {f for text, _ in sets for f in text if sum(f in s for s, _ in sets) >= min_count}
    total = [max(1, sum(len(counted & s) for s, y in sets if y == label)) for label in (0, 1)]

    def size(feature: int) -> float:
        negative, positive = (
            (
                sum(feature in s for s, y in sets if y == label)
                + 2 * smoothing * total[label] / sum(total)
            )
            / total[label]
            for label in (0, 1)
        )
        return math.sqrt(abs(math.log(positive / negative)))

    used = [size(feature) for s, _ in sets for feature in counted & s]
    mean = sum(used) / len(used) if used else 0
    for feature, value in enumerate(ngrams.idf.tolist()):
        known = feature in counted and mean > 1e-9
        expected = float(idf.idf[feature]) * size(feature) / mean if known else 0
        assert value == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_even_use_of_a_rare_label_weighs_nothing() -> None:
    """The labels share all n-grams 1 : 19, and the first three alike, however rare these are.

    The fourth is in as many reviews of both.
    """
    counts = torch.tensor([[100, 1, 5, 500, 10_000], [1_900, 19, 95, 500, 199_000]])
    negative, positive = counts.sum(dim=1).tolist()
    assert positive == 19 * negative
    sizes = uneven_use(counts, smoothing=5.0)
    assert sizes[:3].max() < 1e-6 < 1 < sizes[3]


@given(st.lists(reviews, min_size=1, max_size=6), st.integers(0, 99))
def test_the_logit_is_a_dot_product_with_a_scaled_vector(texts: list[Review], seed: int) -> None:
    ngrams = make()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        ngrams.weight.copy_(torch.randn(ngrams.weight.shape, generator=generator))
        ngrams.bias.fill_(0.25)
        ngrams.idf.copy_(torch.rand(ngrams.idf.shape, generator=generator) + 0.5)
    source = source_of(texts)
    logits = ngrams(source.take(np.arange(len(texts))).ids)
    assert logits.shape == (len(texts),)
    weights = ngrams.weight[:, 0].tolist()
    for text, logit in zip(texts, logits.tolist(), strict=True):
        features = plain_features(text, 2, 64)
        idf = {f: float(ngrams.idf[f]) for f in features}
        length = math.sqrt(sum(value**2 for value in idf.values()) + 2.0)
        expected = sum(idf[f] / length * weights[f] for f in features) + 0.25
        assert logit == pytest.approx(expected, abs=1e-5)


def test_a_review_of_unseen_ngrams_alone_gets_the_bias() -> None:
    ngrams = make()
    ngrams.idf.zero_()
    assert ngrams(torch.tensor([[2, 3]])).item() == ngrams.bias.item()


def test_words_alone_need_no_buckets() -> None:
    assert make(max_n=1).weight.shape == (WORDS, 1)
    features, present = make(max_n=1).features(torch.tensor([[3, 2, 3]]))
    assert features[present].tolist() == [2, 3]


def test_bigrams_of_a_real_size_rarely_share_a_bucket() -> None:
    ids = torch.randint(1, WORDS, (1, 400), generator=torch.Generator().manual_seed(1))
    pairs = set(pairwise(ids[0].tolist()))
    features, present = make(buckets=2**20).features(ids)
    assert int((features[present] >= WORDS).sum()) == len(pairs)
