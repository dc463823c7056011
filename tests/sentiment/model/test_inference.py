"""Scoring in several threads gives what one thread gives, and leaves PyTorch's settings alone."""

import math
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sentiment.model import inference
from sentiment.model.batches import BatchSource
from sentiment.model.bundle import Bundle
from sentiment.model.config import ModelConfig
from sentiment.model.inference import (
    BranchLogits,
    EarlyExit,
    Places,
    binary_cross_entropy,
    combine_parts,
    probabilities,
    score,
    score_branches,
    score_fast,
    score_parts,
    side_by_side,
)
from sentiment.model.lstm import SentimentLSTM
from sentiment.text.tensors import EncodedReviews
from tests.support.bundles import TENSORS, Trained

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def source(trained: Trained) -> BatchSource:
    reviews = EncodedReviews.load(trained.train_tensors)
    return BatchSource(reviews, padding="right", max_length=TENSORS.max_length, device=CPU)


def test_any_number_of_threads_gives_the_same_logits(
    trained: Trained, source: BatchSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference, "BATCH_SIZE", 7)  # so that there are many batches
    model = Bundle.load(trained.bundle).model.train()
    told: list[int] = []
    torch.set_num_threads(1)
    alone = score_branches(model, source)
    torch.set_num_threads(2)
    together = score_branches(model, source, lambda done, total: told.append(done))
    np.testing.assert_array_equal(together, alone)
    assert told == [*range(len(source) % 7, len(source), 7), len(source)]
    assert model.training


def fast_model(**changes: Any) -> SentimentLSTM:
    torch.manual_seed(1)
    sizes = {"embedding_size": 6, "hidden_size": 5, "ngrams": {"buckets": 64}}
    model = SentimentLSTM(ModelConfig.model_validate(sizes | changes), 5_000).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    model.scale.copy_(torch.tensor([0.8, 1.3]))
    return model


@pytest.mark.parametrize("pooling", ["last", "mean", "max", "mean+max"])
@pytest.mark.parametrize("changes", [{}, {"layers": 2}, {"bidirectional": False}])
def test_the_parts_add_up_to_the_model(
    source: BatchSource, pooling: str, changes: dict[str, Any]
) -> None:
    model = fast_model(pooling=pooling, **changes)
    parts = score_parts(model, source)
    assert parts.shape == (len(source), 2 if changes else 3)
    np.testing.assert_allclose(combine_parts(parts, model), score(model, source), atol=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_fast_scores_are_those_of_the_first_parts_that_are_sure(
    source: BatchSource, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``share`` is that of the reviews which each exit alone would answer."""
    monkeypatch.setattr(inference, "has_bfloat16", lambda device: False)
    model = fast_model()
    expected, parts = score(model, source), score_parts(model, source)
    exact, doubtful = expected.copy(), np.ones(len(source), dtype=bool)
    exits: list[EarlyExit] = []
    for factors in ((0.5,), (0.6, 0.9)):
        answers = sum(factor * parts[:, n] for n, factor in enumerate(factors))
        distance = np.abs(answers - math.log(0.6 / 0.4))
        limits = {0.0: distance.max(), 1.0: -1.0}
        limit = limits.get(share, float(np.quantile(distance, 1 - share)))
        exits.append(EarlyExit(factors=factors, limit=limit))
        expected = np.where(doubtful & (distance > limit), answers, expected)
        doubtful &= distance <= limit
        fast = score_fast(model, source, exits, threshold=0.6)
        np.testing.assert_array_equal(fast.exited, ~doubtful)
        np.testing.assert_allclose(fast.logits, expected, rtol=0, atol=1e-5)
    assert (expected != exact).any() == (share > 0)
    assert not score_fast(model, source, [], threshold=0.6).exited.any()


@pytest.mark.parametrize("pooling", ["last", "mean", "max", "mean+max"])
def test_in_bfloat16_fast_scores_are_nearly_the_same(
    source: BatchSource, pooling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any CPU computes in it, if slowly."""
    monkeypatch.setattr(inference, "has_bfloat16", lambda device: True)
    model = fast_model(pooling=pooling)
    fast, exact = score_fast(model, source, [], threshold=0.6).logits, score(model, source)
    assert 1e-5 < np.abs(fast - exact).max() < 0.02 * np.abs(exact).max()


def test_batches_are_answered_at_the_same_time_and_told_in_order() -> None:
    meeting = threading.Barrier(2, timeout=60)

    def answer(places: Places) -> tuple[Places, BranchLogits]:
        meeting.wait()  # broken unless two threads are at work
        assert torch.get_num_threads() == 1
        return places, places.astype(np.float64)

    batches = [np.array([number]) for number in range(8)]
    found = [int(places[0]) for places, _ in side_by_side(answer, batches)]
    assert found == list(range(8))
    assert torch.get_num_threads() == 2


def test_threads_that_come_meanwhile_and_later_have_all_cores() -> None:
    seen: list[int] = []
    begun = threading.Event()

    def look() -> None:
        thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        thread.start()
        thread.join()

    def answer(places: Places) -> tuple[Places, BranchLogits]:
        if places[0] > 0:
            begun.wait(60)
            look()
        return places, places.astype(np.float64)

    meanwhile = side_by_side(answer, [np.array([number]) for number in range(4)])
    next(meanwhile)
    begun.set()
    list(meanwhile)
    look()
    assert seen == [2, 2, 2, 2]


def test_after_an_error_no_further_batch_is_begun() -> None:
    begun: list[int] = []

    def answer(places: Places) -> tuple[Places, BranchLogits]:
        begun.append(int(places[0]))
        time.sleep(0.001)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        list(side_by_side(answer, [np.array([number]) for number in range(1000)]))
    assert len(begun) < 1000
    assert torch.get_num_threads() == 2


@given(st.lists(st.floats(-30, 30), min_size=1))
def test_probabilities_are_the_logistic_function(logits: list[float]) -> None:
    expected = [1 / (1 + math.exp(-logit)) for logit in logits]
    assert probabilities(np.array(logits)) == pytest.approx(expected, rel=1e-12)


def test_huge_logits_overflow_nothing() -> None:
    logits = np.array([-1e9, -800.0, 0.0, 800.0, 1e9])
    assert probabilities(logits).tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]
    wrong = binary_cross_entropy(logits[[1, 3]], np.array([1, 0], np.uint8))
    assert wrong == 800.0
