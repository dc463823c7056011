"""Training follows the recipe, keeps the best weights, and gives the same bytes for a seed."""

import logging
import math
import random
import sys
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from sentiment.errors import ConfigError, TrainingError
from sentiment.model.batches import Batch, BatchSource, training_order
from sentiment.model.bundle import Bundle
from sentiment.model.config import ModelConfig, NgramsConfig, TrainConfig
from sentiment.model.devices import choose_device
from sentiment.model.inference import binary_cross_entropy, probabilities, score
from sentiment.model.lstm import SentimentLSTM
from sentiment.text.tensors import EncodedReviews
from sentiment.text.vocabulary import PAD, SPECIAL, Vocabulary
from sentiment.training import trainer
from sentiment.training.history import HISTORY
from sentiment.training.out_of_memory import saying_what_to_lower
from sentiment.training.sentences import SentenceSampler
from sentiment.training.train import train_model
from sentiment.training.trainer import Validation, loss_of, make_optimizer, rate_scale
from tests.support.bundles import MODEL, TENSORS, TOKENIZE, TRAIN, Trained, train_again
from tests.support.reviews import contents, rows_of

ROWS, BATCH = 240, 16
STEPS_AN_EPOCH = 15  # 240 reviews in batches of 16


def history(folder: Path) -> list[dict[str, Any]]:
    names = HISTORY.names
    return [dict(zip(names, row, strict=True)) for row in rows_of(folder / "history.parquet")]


class TestLearningRate:
    @given(st.integers(0, 99))
    def test_constant_is_constant(self, step: int) -> None:
        assert rate_scale(TrainConfig(schedule="constant"), step, 100) == 1

    @given(steps=st.integers(1, 300), warmup=st.floats(0, 0.95))
    def test_cosine_rises_in_a_line_and_falls_to_almost_0(self, steps: int, warmup: float) -> None:
        config = TrainConfig(schedule="cosine", warmup=warmup)
        shares = [rate_scale(config, step, steps) for step in range(steps)]
        rising = int(warmup * steps)
        for step in range(rising):
            assert shares[step] == pytest.approx((step + 1) / rising)
        falling = shares[rising:]
        assert falling[0] == pytest.approx(1)
        assert all(a > b > 0 for a, b in pairwise(falling))
        for place, value in enumerate(falling):
            angle = math.pi * place / len(falling)
            assert value == pytest.approx((1 + math.cos(angle)) / 2)

    def test_known_values(self) -> None:
        shares = [rate_scale(TrainConfig(warmup=0.2), step, 10) for step in range(10)]
        assert shares[:3] == [0.5, 1, 1]
        assert shares[6] == pytest.approx(0.5)


def test_optimizers_follow_the_recipe() -> None:
    model = SentimentLSTM(MODEL, 9)
    adam = make_optimizer(model, TrainConfig(optimizer="adam", learning_rate=0.5, weight_decay=0.3))
    assert type(adam) is torch.optim.Adam
    assert (adam.defaults["lr"], adam.defaults["weight_decay"]) == (0.5, 0)
    adamw = make_optimizer(model, TrainConfig(learning_rate=0.5, weight_decay=0.3))
    assert type(adamw) is torch.optim.AdamW
    assert (adamw.defaults["lr"], adamw.defaults["weight_decay"]) == (0.5, 0.3)
    (group,) = adamw.param_groups
    assert len(group["params"]) == len(list(model.parameters()))


def test_the_ngrams_have_a_rate_of_their_own_and_no_decay() -> None:
    config = MODEL.model_copy(update={"ngrams": NgramsConfig(buckets=8, learning_rate=0.25)})
    model = SentimentLSTM(config, 9)
    optimizer = make_optimizer(model, TrainConfig(model=config, learning_rate=0.5))
    lstm, ngrams = optimizer.param_groups
    assert model.ngrams is not None
    assert ngrams["params"] == list(model.ngrams.parameters())
    assert len(lstm["params"]) + len(ngrams["params"]) == len(list(model.parameters()))
    assert (lstm["peak_lr"], ngrams["peak_lr"]) == (0.5, 0.25)
    assert (lstm["weight_decay"], ngrams["weight_decay"]) == (0.01, 0)


def test_half_the_loss_is_that_of_the_sum_and_half_that_of_the_parts() -> None:
    parts, labels = torch.tensor([[2.0, -1.0], [0.5, 3.0]]), torch.tensor([1.0, 0.0])

    def entropy(logits: list[float]) -> float:
        costs = [math.log1p(math.exp(-logits[0])), math.log1p(math.exp(logits[1]))]
        return sum(costs) / 2

    alone = (entropy([2.0, 0.5]) + entropy([-1.0, 3.0])) / 2
    assert float(loss_of(parts, labels)) == pytest.approx((entropy([1.0, 3.5]) + alone) / 2)
    assert float(loss_of(parts[:, :1], labels)) == pytest.approx(entropy([2.0, 0.5]))


def test_a_small_task_is_learnt(trained: Trained) -> None:
    reviews = EncodedReviews.load(trained.validation_tensors)
    assert trained.stats["validation_accuracy"] > 0.9
    assert trained.stats["validation_loss"] < 0.5  # always answering 0.5 costs 0.69
    chances = probabilities(scores(trained.bundle, reviews))
    assert ((chances >= 0.5) == (reviews.labels == 1)).mean() > 0.9


def scores(bundle: Path, reviews: EncodedReviews, padding: str = "right") -> Any:
    source = BatchSource(
        reviews, padding=padding, max_length=TENSORS.max_length, device=torch.device("cpu")
    )
    return score(Bundle.load(bundle).model, source)


def test_stats_tell_the_size_and_the_best_step(trained: Trained) -> None:
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


def test_the_weights_of_the_lowest_validation_loss_are_kept(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([0.9, 0.5, 0.5, 0.7])
    weights: list[dict[str, Tensor]] = []

    def scripted(model: SentimentLSTM, *_: Any) -> Validation:
        weights.append({name: value.clone() for name, value in model.state_dict().items()})
        return Validation(next(losses), len(weights) / 10)

    monkeypatch.setattr(trainer, "validate", scripted)
    stats = train_again(trained, tmp_path, epochs=4)
    assert len(weights) == 4
    # Of equals the first.
    assert stats["best_step"] == 2 * STEPS_AN_EPOCH
    assert (stats["validation_loss"], stats["validation_accuracy"]) == (0.5, 0.2)
    kept = Bundle.load(tmp_path).model.state_dict()
    assert all(torch.equal(kept[name], weights[1][name]) for name in kept)
    learnt = kept.keys() - {"scale"}  # which only the real validation sets
    assert not any(torch.equal(kept[name], weights[2][name]) for name in learnt)


def test_the_saved_model_has_the_lowest_loss_of_the_history(
    trained: Trained, tmp_path: Path
) -> None:
    train_again(trained, tmp_path, validate_every=4, learning_rate=0.5, schedule="constant")
    reviews = EncodedReviews.load(trained.validation_tensors)
    losses = [row["validation_loss"] for row in history(tmp_path) if row["validation_loss"]]
    assert len(set(losses)) > 3
    loss = binary_cross_entropy(scores(tmp_path, reviews), reviews.labels)
    assert loss == pytest.approx(min(losses), abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "logged", "validated"),
    [
        ({"epochs": 2, "log_every": 4}, {4, 8, 12, 16, 20, 24, 28}, {15, 30}),
        ({"epochs": 1, "log_every": 50}, set(), {15}),
        ({"epochs": 2, "log_every": 50, "validate_every": 7}, set(), {7, 14, 21, 28, 30}),
        ({"epochs": 1, "log_every": 5, "validate_every": 100}, {5, 10}, {15}),
        ({"epochs": 1, "batch_size": 239}, set(), {2}),  # the second batch is one review
        ({"epochs": 2, "batch_size": 500}, set(), {1, 2}),
    ],
)
def test_history_has_a_row_where_it_logs_or_validates(
    trained: Trained,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, int],
    logged: set[int],
    validated: set[int],
) -> None:
    losses: list[float] = []
    step = trainer.training_step

    def recorded(model: Any, batch: Batch, *rest: Any) -> Tensor:
        loss = step(model, batch, *rest)
        losses.append(float(loss))
        return loss

    monkeypatch.setattr(trainer, "training_step", recorded)
    train_again(trained, tmp_path, **changes)
    rows = history(tmp_path)
    config = TrainConfig(**{**TRAIN.model_dump(), **changes})
    steps_an_epoch = math.ceil(ROWS / config.batch_size)
    assert [row["step"] for row in rows] == sorted(logged | validated)
    last = 0
    for row in rows:
        at = row["step"]
        assert row["epoch"] == at / steps_an_epoch
        assert row["train_loss"] == pytest.approx(np.mean(losses[last:at]), rel=1e-5)
        share = rate_scale(config, at - 1, len(losses))
        assert row["learning_rate"] == share * config.learning_rate
        assert (row["validation_loss"] is None) == (at not in validated)
        assert (row["validation_accuracy"] is None) == (at not in validated)
        last = at
    assert last == len(losses)


def test_every_review_is_used_once_an_epoch(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[int]] = []
    step = trainer.training_step

    def recorded(model: Any, batch: Batch, *rest: Any) -> Tensor:
        assert model.training
        for ids, length in zip(batch.ids.tolist(), batch.lengths.tolist(), strict=True):
            seen.append(ids[:length])
        return step(model, batch, *rest)

    monkeypatch.setattr(trainer, "training_step", recorded)
    train_again(trained, tmp_path, epochs=2, max_length=9, batch_size=50)
    reviews = EncodedReviews.load(trained.train_tensors)
    ends = reviews.offsets.tolist()
    expected = [reviews.ids[ends[n] : ends[n + 1]][:9].tolist() for n in range(ROWS)]
    assert sorted(seen[:ROWS]) == sorted(seen[ROWS:]) == sorted(expected)


@pytest.mark.parametrize("seed", [1, 5])
def test_the_order_follows_the_seed_and_the_epoch(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    asked: list[dict[str, Any]] = []

    def recorded(lengths: Any, batch_size: int, **how: Any) -> Any:
        asked.append(how)
        return training_order(lengths, batch_size, **how)

    monkeypatch.setattr(trainer, "training_order", recorded)
    train_again(trained, tmp_path, epochs=2, seed=seed)
    assert asked == [{"seed": seed, "epoch": epoch, "by_length": True} for epoch in (0, 1)]


def test_the_gradient_is_clipped() -> None:
    torch.manual_seed(1)
    model = SentimentLSTM(MODEL, 9)
    batch = Batch(torch.tensor([[3, 4], [5, 0]]), torch.tensor([2, 1]), torch.tensor([1.0, 0.0]))
    before = [parameter.detach().clone() for parameter in model.parameters()]
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    trainer.training_step(model, batch, optimizer, TrainConfig(clip_norm=0.01))
    moved = [b - a.detach() for a, b in zip(model.parameters(), before, strict=True)]
    assert float(torch.cat([each.flatten() for each in moved]).norm()) == pytest.approx(
        0.01, rel=1e-3
    )


class TestLossThatIsNoNumber:
    def test_it_stops_the_training_with_step_and_rate(
        self, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        step = trainer.training_step
        taken = 0

        def failing(*arguments: Any) -> Tensor:
            nonlocal taken
            taken += 1
            return step(*arguments) * (math.nan if taken == 6 else 1.0)

        monkeypatch.setattr(trainer, "training_step", failing)
        with pytest.raises(TrainingError, match=r"is nan at step 8 \(learning rate 0\.02\)"):
            train_again(trained, tmp_path, log_every=4, schedule="constant")
        assert contents(tmp_path) == {}

    def test_a_loss_ten_times_that_of_guessing_stops_it_too(
        self, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        step = trainer.training_step

        def scaled(*arguments: Any, to: float) -> Tensor:
            return step(*arguments) * 0 + to

        monkeypatch.setattr(trainer, "training_step", partial(scaled, to=6.9))
        train_again(trained, tmp_path, epochs=1)
        monkeypatch.setattr(trainer, "training_step", partial(scaled, to=7.0))
        with pytest.raises(TrainingError, match=r"training loss is 7 at step 4 .*costs 0\.69"):
            train_again(trained, tmp_path / "more", log_every=4)

    def test_no_checkpoint_holds_what_is_spoilt(
        self, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The weights turn bad between two rows of the history, where a checkpoint is due."""
        step = trainer.training_step
        taken = 0

        def spoiling(model: SentimentLSTM, *arguments: Any) -> Tensor:
            nonlocal taken
            taken += 1
            loss = step(model, *arguments)
            if taken == 6:
                model.head.bias.data.fill_(math.nan)
            return loss

        monkeypatch.setattr(trainer, "training_step", spoiling)
        with pytest.raises(TrainingError, match=r"after step 6 .*Lower.*step-000000000004\."):
            train_again(trained, tmp_path, checkpoint_every=2, keep_checkpoints=1)

    def test_an_absurd_learning_rate_is_named(self, trained: Trained, tmp_path: Path) -> None:
        with pytest.raises(TrainingError, match=r"step .* \(learning rate 1e\+38\).*Lower train"):
            train_again(trained, tmp_path, learning_rate=1e38, schedule="constant", log_every=1)

    def test_the_last_step_may_not_spoil_the_model_unseen(
        self, trained: Trained, tmp_path: Path
    ) -> None:
        """The only step's loss is fine, the weights that it leaves are not."""
        changes = {"learning_rate": 1e38, "schedule": "constant", "epochs": 1, "batch_size": 500}
        with pytest.raises(TrainingError, match=r"validation loss .* step 1 .*1e\+38"):
            train_again(trained, tmp_path, **changes)


def test_the_recipe_of_the_article_runs_on_a_tiny_model(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[Batch] = []
    step = trainer.training_step

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


def test_excerpts_teach_the_lstm_but_not_the_ngrams() -> None:
    config = MODEL.model_copy(update={"ngrams": NgramsConfig(buckets=8)})
    batch = Batch(torch.randint(2, 9, (4, 30)), torch.full((4,), 30), torch.tensor([1.0, 0, 1, 0]))

    def moved(sentences: int) -> tuple[Tensor, Tensor, float]:
        torch.manual_seed(1)
        model = SentimentLSTM(config, 9)
        assert model.ngrams is not None
        before = model.embedding.weight.detach().clone()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        recipe = TrainConfig(model=config, clip_norm=1e9)
        words = Vocabulary(pa.array([*SPECIAL, ".", *"abcdef"]))
        cutter = SentenceSampler(sentences, words, torch.device("cpu")) if sentences else None
        loss = trainer.training_step(model, batch, optimizer, recipe, cutter)
        lstm = model.embedding.weight.detach() - before
        return lstm, model.ngrams.weight.detach().clone(), float(loss)

    (lstm, ngrams, loss), (more, same, reported) = moved(0), moved(2)
    assert not torch.equal(lstm, more)
    assert torch.equal(ngrams, same)
    assert loss == reported  # the loss of whole reviews, comparable to that of validation


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


class TestValidation:
    def test_loss_and_accuracy_are_those_of_a_plain_loop(self, trained: Trained) -> None:
        reviews = EncodedReviews.load(trained.test_tensors)
        model = Bundle.load(trained.bundle).model
        source = BatchSource(reviews, padding="right", max_length=40, device=torch.device("cpu"))
        before = score(model, source)
        result = trainer.validate(model, source, reviews.labels)
        after = score(model, source)  # calibrated on these reviews
        assert binary_cross_entropy(after, reviews.labels) < binary_cross_entropy(
            before, reviews.labels
        )
        chances = [1 / (1 + math.exp(-logit)) for logit in after.tolist()]
        labels = reviews.labels.tolist()
        losses = [
            -math.log(p if label else 1 - p) for p, label in zip(chances, labels, strict=True)
        ]
        right = [(p >= 0.5) == bool(label) for p, label in zip(chances, labels, strict=True)]
        assert result.loss == pytest.approx(sum(losses) / len(losses))
        assert result.accuracy == sum(right) / len(right)

    @pytest.mark.parametrize("mode", [True, False])
    def test_the_model_stays_in_the_mode_that_it_was_in(self, trained: Trained, mode: bool) -> None:
        model = Bundle.load(trained.bundle).model.train(mode)
        reviews = EncodedReviews.load(trained.validation_tensors)
        source = BatchSource(reviews, padding="right", max_length=9, device=torch.device("cpu"))
        trainer.validate(model, source, reviews.labels)
        assert model.training is mode


@given(st.lists(st.floats(-30, 30), min_size=1))
def test_probabilities_are_the_logistic_function(logits: list[float]) -> None:
    expected = [1 / (1 + math.exp(-logit)) for logit in logits]
    assert probabilities(np.array(logits)) == pytest.approx(expected, rel=1e-12)


def test_huge_logits_overflow_nothing() -> None:
    logits = np.array([-1e9, -800.0, 0.0, 800.0, 1e9])
    assert probabilities(logits).tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]
    wrong = binary_cross_entropy(logits[[1, 3]], np.array([1, 0], np.uint8))
    assert wrong == 800.0


class TestConfig:
    @pytest.mark.parametrize(
        "model",
        [{"bidirectional": True, "pooling": "last"}, {"bidirectional": False, "pooling": "max"}],
    )
    def test_left_padding_needs_the_last_state_of_one_direction(
        self, model: dict[str, Any]
    ) -> None:
        with pytest.raises(ValidationError, match="padding: left needs"):
            TrainConfig(padding="left", model=ModelConfig(**model))

    def test_left_padding_has_one_length(self) -> None:
        model = ModelConfig(bidirectional=False, pooling="last")
        assert TrainConfig(padding="left", model=model).padding == "left"
        with pytest.raises(ValidationError, match=r"max_length: must be null"):
            TrainConfig(padding="left", model=model, max_length=9)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("epochs", 0),
            ("batch_size", 0),
            ("learning_rate", 0),
            ("learning_rate", math.nan),
            ("learning_rate", math.inf),
            ("warmup", 1.0),
            ("clip_norm", 0),
            ("validate_every", 0),
            ("max_length", 0),
            ("seed", -1),
            ("padding", "middle"),
            ("optimizer", "sgd"),
            ("schedule", "linear"),
            ("device", "tpu"),
            ("precision", "fp16"),
            ("epoch", 3),
            ("model", {"word_dropout": 1.0}),
            ("model", {"pooling": "min"}),
            ("model", {"layers": 0}),
            ("model", {"width": 3}),
        ],
    )
    def test_what_cannot_be_is_refused_by_name(self, name: str, value: Any) -> None:
        with pytest.raises(ValidationError) as caught:
            TrainConfig(**{name: value})
        assert caught.value.errors()[0]["loc"][0] == name

    def test_settings_do_not_change(self) -> None:
        with pytest.raises(ValidationError, match="frozen"):
            TrainConfig().epochs = 3  # type: ignore[misc]


class TestMemory:
    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (torch.OutOfMemoryError("CUDA out of memory."), "ran out of GPU memory"),
            (RuntimeError("CUDA error: out of memory"), "ran out of GPU memory"),
            (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), "ran out of GPU memory"),
            (MemoryError(), "ran out of memory"),
        ],
    )
    def test_what_to_lower_is_named(
        self,
        trained: Trained,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        error: Exception,
        words: str,
    ) -> None:
        def failing(*_: Any) -> Tensor:
            raise error

        monkeypatch.setattr(trainer, "training_step", failing)
        settings = r"train\.batch_size 16 and reviews of up to 40 tokens.*train\.max_length"
        with pytest.raises(TrainingError, match=f"{words} with {settings}"):
            train_again(trained, tmp_path)

    def test_the_cpus_own_error_is_known(self) -> None:
        with (
            pytest.raises(TrainingError, match="batch_size 64 and reviews of up to 9 tokens"),
            saying_what_to_lower(TrainConfig(), 9),
        ):
            torch.empty(10**15)

    def test_another_error_stays_what_it_is(self) -> None:
        with (
            pytest.raises(RuntimeError, match="mat1 and mat2"),
            saying_what_to_lower(TrainConfig(), 9),
        ):
            torch.ones(2, 3) @ torch.ones(2, 3)

    def test_left_padding_has_its_length_elsewhere(self) -> None:
        model = ModelConfig(bidirectional=False, pooling="last")
        with (
            pytest.raises(TrainingError, match=r"then tensors\.max_length"),
            saying_what_to_lower(TrainConfig(padding="left", model=model), 9),
        ):
            raise MemoryError


class TestDevice:
    @pytest.mark.parametrize(("device", "told"), [("auto", 1), ("cpu", 0)])
    def test_falling_back_to_the_cpu_is_told(
        self,
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

    @pytest.mark.parametrize(
        ("wanted", "has_gpu", "chosen"),
        [
            ("auto", False, "cpu"),
            ("auto", True, "cuda"),
            ("cpu", True, "cpu"),
            ("cpu", False, "cpu"),
            ("cuda", True, "cuda"),
        ],
    )
    def test_auto_takes_a_gpu_where_there_is_one(
        self, monkeypatch: pytest.MonkeyPatch, wanted: str, has_gpu: bool, chosen: str
    ) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
        assert choose_device(wanted) == torch.device(chosen)

    def test_a_gpu_that_is_not_there_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        with pytest.raises(ConfigError, match=r"train\.device is cuda"):
            choose_device("cuda")
