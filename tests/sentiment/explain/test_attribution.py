"""Attributions: the n-grams' add up to their logit, the LSTM's equal a finite difference."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sentiment.explain.attribution import (
    gradient_times_input,
    ngram_attributions,
    word_attributions,
)
from sentiment.model.config import ModelConfig, NgramsConfig
from sentiment.model.lstm import SentimentLSTM
from sentiment.text.vocabulary import PAD

WORDS = 12


def make(max_n: int = 2) -> SentimentLSTM:
    """Return a model of random weights, some of whose n-grams do not count."""
    torch.manual_seed(5)
    wide = NgramsConfig(max_n=max_n, buckets=16)
    config = ModelConfig(embedding_size=6, hidden_size=4, head_dropout=0.5, ngrams=wide)
    model = SentimentLSTM(config, WORDS).eval()
    assert model.ngrams is not None
    with torch.no_grad():
        torch.nn.init.normal_(model.ngrams.weight)
        torch.nn.init.uniform_(model.ngrams.idf, 0.5, 2.0)
        model.ngrams.idf[::5] = 0.0
        model.ngrams.bias.fill_(0.7)
        model.scale.copy_(torch.tensor([0.5, 2.0]))
    return model


@given(
    st.lists(st.lists(st.integers(1, WORDS - 1), max_size=7), min_size=1, max_size=3),
    st.integers(1, 4),
)
def test_the_attributions_of_ngrams_add_up_to_their_logit(
    reviews: list[list[int]], max_n: int
) -> None:
    ngrams = make(max_n).ngrams
    assert ngrams is not None
    ids = torch.tensor([review + [PAD] * (8 - len(review)) for review in reviews])
    attributions = ngram_attributions(ngrams, ids)
    assert torch.allclose(attributions.sum(dim=1) + ngrams.bias, ngrams(ids), atol=1e-5)
    assert not attributions[ids == PAD].any()


def test_an_ngram_is_shared_equally_by_its_places_and_words() -> None:
    ngrams = make().ngrams
    assert ngrams is not None
    with torch.no_grad():
        ngrams.weight.zero_()
        ngrams.weight[ngrams.by_place(torch.tensor([[2, 3]]))[1]] = 1.0  # the bigram "2 3" alone
    attributions = ngram_attributions(ngrams, torch.tensor([[2, 3, 4, 2, 3]]))[0]
    assert attributions[2] == 0
    assert attributions[0] > 0
    assert torch.allclose(attributions[[0, 1, 3, 4]], attributions[0])


def test_gradient_times_input_is_the_slope_along_each_words_embedding() -> None:
    model = make().double()
    ids, lengths = torch.tensor([[3, 4, 5, 4], [7, 8, PAD, PAD]]), torch.tensor([4, 2])
    found = gradient_times_input(model, ids, lengths)
    words, step = model.embedding(ids).detach(), 1e-6
    for row, place in [(0, 0), (0, 1), (0, 3), (1, 1)]:
        logits = []
        for factor in (1 + step, 1 - step):
            stretched = words.clone()
            stretched[row, place] *= factor
            logits.append(model.read(stretched, lengths)[row].item())
        slope = (logits[0] - logits[1]) / (2 * step)
        assert found[row, place].item() == pytest.approx(slope, rel=1e-6, abs=1e-12)


def test_a_words_attribution_weighs_each_branch_as_the_model_does() -> None:
    model = make()
    ids, lengths = torch.tensor([[3, 4, 5], [7, PAD, PAD]]), torch.tensor([3, 1])
    assert model.ngrams is not None
    with torch.no_grad():
        attributions = word_attributions(model, ids, lengths)
    expected = 0.5 * gradient_times_input(model, ids, lengths) + 2 * ngram_attributions(
        model.ngrams, ids
    )
    assert torch.allclose(attributions[0], expected[0])
    assert attributions[1, 1:].tolist() == [0, 0]
    assert model.embedding.weight.grad is None
