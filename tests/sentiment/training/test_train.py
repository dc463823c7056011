"""Training keeps the best weights, gives the same bytes for a seed, and touches nothing outside."""

import logging
import math
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sentiment.classifier import Classifier
from sentiment.model.batches import Batch
from sentiment.model.bundle import Bundle
from sentiment.model.config import ModelConfig, NgramsConfig
from sentiment.model.inference import binary_cross_entropy, probabilities
from sentiment.model.measures import best_threshold
from sentiment.text.tensors import EncodedReviews
from sentiment.text.vocabulary import PAD
from sentiment.training import calibration, trainer
from sentiment.training.step import training_step
from sentiment.training.train import train_model
from tests.support.bundles import (
    MODEL,
    TENSORS,
    TOKENIZE,
    TRAIN,
    Trained,
    history,
    scores,
    train_again,
)
from tests.support.reviews import contents

ROWS = 240
STEPS_AN_EPOCH = 15  # 240 reviews in batches of 16


def test_a_small_task_is_learnt(trained: Trained) -> None:
    reviews = EncodedReviews.load(trained.validation_tensors)
    assert trained.stats["validation_accuracy"] > 0.9
    assert trained.stats["validation_loss"] < 0.5  # always answering 0.5 costs 0.69
    positive = probabilities(scores(trained.bundle, reviews))
    assert ((positive >= 0.5) == (reviews.labels == 1)).mean() > 0.9


def test_stats_give_the_size_and_the_best_step(trained: Trained) -> None:
    model = Bundle.load(trained.bundle).model
    assert trained.stats["rows"] == ROWS
    assert trained.stats["steps"] == 3 * STEPS_AN_EPOCH
    assert trained.stats["parameters"] == sum(each.numel() for each in model.parameters())
    assert trained.stats["device"] == "cpu"
    best = min(history(trained.bundle), key=lambda row: row["validation_loss"] or math.inf)
    assert trained.stats["best_step"] == best["step"]
    assert trained.stats["validation_loss"] == best["validation_loss"]
    assert trained.stats["validation_accuracy"] == best["validation_accuracy"]


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_seed_gives_the_same_bytes(trained: Trained, tmp_path: Path, threads: int) -> None:
    model = MODEL.model_copy(update={"word_dropout": 0.1, "head_dropout": 0.2, "layers": 2})
    torch.set_num_threads(threads)
    try:
        stats = [
            train_again(trained, tmp_path / name, epochs=1, model=model)
            for name in ("first", "second")
        ]
    finally:
        torch.set_num_threads(1)
    assert contents(tmp_path / "first") == contents(tmp_path / "second")
    assert stats[0] == stats[1]


def test_the_same_seed_does_not_depend_on_what_ran_before(trained: Trained, tmp_path: Path) -> None:
    torch.manual_seed(99)
    np.random.seed(99)
    random.seed(99)
    train_again(trained, tmp_path)
    assert contents(tmp_path) == contents(trained.bundle)


def test_another_seed_gives_another_model(trained: Trained, tmp_path: Path) -> None:
    train_again(trained, tmp_path, seed=TRAIN.seed + 1)
    weights = "model.safetensors"
    assert (tmp_path / weights).read_bytes() != (trained.bundle / weights).read_bytes()


def test_training_fits_the_early_exits_of_fast_scoring(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "MOST_CHANGED", 0.2)  # as the validation reviews are few
    model = MODEL.model_copy(update={"ngrams": NgramsConfig(buckets=64)})
    train_again(trained, tmp_path, model=model)
    first, second = Bundle.load(tmp_path).config.early_exits
    assert (len(first.factors), len(second.factors)) == (1, 2)
    texts = ["a lovely lamp", "an awful lamp"]
    exact, fast = (Classifier.load(tmp_path, fast=fast).score(texts) for fast in (False, True))
    assert fast.exited.any()
    assert (exact.probabilities != fast.probabilities)[fast.exited].all()


def test_random_numbers_outside_are_left_alone(trained: Trained, tmp_path: Path) -> None:
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    train_again(trained, tmp_path, epochs=1)
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


def test_small_numbers_outside_are_left_alone(trained: Trained, tmp_path: Path) -> None:
    """PyTorch's flush to zero would reach every later computation of the process."""
    assert sys.float_info.min / 2 > 0
    train_again(trained, tmp_path, epochs=1)
    assert sys.float_info.min / 2 > 0


def test_the_saved_model_has_the_lowest_loss_of_the_history(
    trained: Trained, tmp_path: Path
) -> None:
    train_again(trained, tmp_path, validate_every=4, learning_rate=0.5, schedule="constant")
    reviews = EncodedReviews.load(trained.validation_tensors)
    losses = [row["validation_loss"] for row in history(tmp_path) if row["validation_loss"]]
    assert len(set(losses)) > 3
    loss = binary_cross_entropy(scores(tmp_path, reviews), reviews.labels)
    assert loss == pytest.approx(min(losses), abs=1e-6)


def test_the_settings_of_the_article_run_on_a_tiny_model(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[Batch] = []
    step = training_step

    def recorded(model: Any, batch: Batch, *rest: Any) -> Tensor:
        batches.append(batch)
        return step(model, batch, *rest)

    monkeypatch.setattr(trainer, "training_step", recorded)
    stats = train_again(
        trained,
        tmp_path,
        model=ModelConfig(
            embedding_size=8,
            hidden_size=12,
            layers=2,
            bidirectional=False,
            pooling="last",
            layer_dropout=0.5,
            head_dropout=0.2,
        ),
        padding="left",
        epochs=2,
        batch_size=40,
        optimizer="adam",
        learning_rate=0.005,
        schedule="constant",
        clip_norm=5.0,
        validate_every=5,
    )
    assert stats["steps"] == 12
    rows = history(tmp_path)
    assert [row["step"] for row in rows] == [5, 10, 12]
    assert {row["learning_rate"] for row in rows} == {0.005}
    assert {batch.ids.shape for batch in batches} == {(40, TENSORS.max_length)}
    assert {length for batch in batches for length in batch.lengths.tolist()} == {40}
    first = torch.cat([batch.ids[:, 0] for batch in batches])
    last = torch.cat([batch.ids[:, -1] for batch in batches])
    assert (first == PAD).any()
    assert (last != PAD).all()
    reviews = EncodedReviews.load(trained.validation_tensors)
    loss = binary_cross_entropy(scores(tmp_path, reviews, "left"), reviews.labels)
    assert loss == pytest.approx(stats["validation_loss"], abs=1e-6)


def test_progress_counts_reviews_up_to_the_end(trained: Trained, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None, dict[str, float]]] = []
    train_model(
        trained.train_tensors,
        trained.validation_tensors,
        trained.vocabulary,
        train=TRAIN.model_copy(update={"epochs": 2, "log_every": 10}),
        tensors=TENSORS,
        tokenize=TOKENIZE,
        out=tmp_path,
        checkpoints=tmp_path / "checkpoints",
        progress=lambda done, total=None, **figures: seen.append((done, total, figures)),
    )
    counts = [done for done, _, _ in seen]
    assert counts == sorted(counts)
    assert counts[-1] == 2 * ROWS
    assert {total for _, total, _ in seen} == {2 * ROWS}
    rows = history(tmp_path)
    assert {figures["loss"] for *_, figures in seen if figures} <= {
        row["train_loss"] for row in rows
    }
    assert {figures.get("validation_accuracy") for *_, figures in seen} <= {
        row["validation_accuracy"] for row in rows
    }
    figures = seen[-1][2]
    assert set(figures) == {"loss", "validation_accuracy", "validation_loss", "validations"}
    assert figures["validations"] == 2


@pytest.mark.parametrize(("device", "told"), [("auto", 1), ("cpu", 0)])
def test_falling_back_to_the_cpu_is_logged(
    trained: Trained,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    device: str,
    told: int,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with caplog.at_level(logging.INFO, "sentiment"):
        train_again(trained, tmp_path, device=device, epochs=1)
    assert caplog.text.count("PyTorch sees no CUDA GPU") == told


@pytest.mark.parametrize("measure", ["accuracy", "mcc"])
def test_a_threshold_is_chosen_on_the_validation_reviews(
    trained: Trained, tmp_path: Path, measure: str
) -> None:
    stats = train_again(trained, tmp_path, threshold=measure)
    reviews = EncodedReviews.load(trained.validation_tensors)
    expected = best_threshold(measure, reviews.labels, probabilities(scores(tmp_path, reviews)))
    assert Bundle.load(tmp_path).config.threshold == stats["threshold"] == expected
    same = (tmp_path / "model.safetensors").read_bytes()
    assert same == (trained.bundle / "model.safetensors").read_bytes()
