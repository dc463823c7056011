"""The training loop: learning rate, optimizer, loss, history, validation, and what stops it."""

import math
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
from torch import Tensor

from sentiment.errors import TrainingError
from sentiment.model.batches import Batch, BatchSource, training_order
from sentiment.model.bundle import Bundle
from sentiment.model.config import NgramsConfig, TrainConfig
from sentiment.model.inference import binary_cross_entropy, score
from sentiment.model.lstm import SentimentLSTM
from sentiment.text.tensors import EncodedReviews
from sentiment.text.vocabulary import SPECIAL, Vocabulary
from sentiment.training import trainer
from sentiment.training.checkpoints import Checkpoint, Checkpoints
from sentiment.training.distributed import ProcessGroup
from sentiment.training.sentences import SentenceSampler
from sentiment.training.step import loss_of, make_optimizer, rate_scale, training_step
from sentiment.training.train import TrainingData, train_in_group
from sentiment.training.trainer import ValidationResult
from tests.support.bundles import MODEL, TENSORS, TRAIN, Trained, history, scores, train_again
from tests.support.reviews import contents

ROWS = 240
STEPS_AN_EPOCH = 15  # 240 reviews in batches of 16


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


def test_optimizers_follow_the_settings() -> None:
    model = SentimentLSTM(MODEL, 9)
    adam = make_optimizer(model, TrainConfig(optimizer="adam", learning_rate=0.5, weight_decay=0.3))
    assert type(adam) is torch.optim.Adam
    assert (adam.defaults["lr"], adam.defaults["weight_decay"]) == (0.5, 0)
    adamw = make_optimizer(model, TrainConfig(learning_rate=0.5, weight_decay=0.3))
    assert type(adamw) is torch.optim.AdamW
    assert (adamw.defaults["lr"], adamw.defaults["weight_decay"]) == (0.5, 0.3)
    (group,) = adamw.param_groups
    assert len(group["params"]) == len(list(model.parameters()))


def test_the_ngram_branch_has_a_separate_rate_and_no_decay() -> None:
    config = MODEL.model_copy(update={"ngrams": NgramsConfig(buckets=8, learning_rate=0.25)})
    model = SentimentLSTM(config, 9)
    optimizer = make_optimizer(model, TrainConfig(model=config, learning_rate=0.5))
    lstm, ngrams = optimizer.param_groups
    assert model.ngrams is not None
    assert ngrams["params"] == list(model.ngrams.parameters())
    assert len(lstm["params"]) + len(ngrams["params"]) == len(list(model.parameters()))
    assert (lstm["peak_lr"], ngrams["peak_lr"]) == (0.5, 0.25)
    assert (lstm["weight_decay"], ngrams["weight_decay"]) == (0.01, 0)


def test_half_the_loss_is_of_the_sum_and_half_of_each_branch() -> None:
    branches, labels = torch.tensor([[2.0, -1.0], [0.5, 3.0]]), torch.tensor([1.0, 0.0])

    def entropy(logits: list[float]) -> float:
        costs = [math.log1p(math.exp(-logits[0])), math.log1p(math.exp(logits[1]))]
        return sum(costs) / 2

    alone = (entropy([2.0, 0.5]) + entropy([-1.0, 3.0])) / 2
    assert float(loss_of(branches, labels)) == pytest.approx((entropy([1.0, 3.5]) + alone) / 2)
    assert float(loss_of(branches[:, :1], labels)) == pytest.approx(entropy([2.0, 0.5]))


def test_a_class_that_weighs_more_counts_as_that_many_reviews() -> None:
    branches, labels = torch.tensor([[2.0, -1.0], [0.5, 3.0]]), torch.tensor([1.0, 0.0])
    for columns in (branches, branches[:, :1]):
        weighted = loss_of(columns, labels, torch.tensor([3.0, 1.0]))
        repeated = loss_of(columns[[0, 1, 1, 1]], labels[[0, 1, 1, 1]])
        assert float(weighted) * 2 == pytest.approx(float(repeated) * 4)


def test_equal_weights_train_the_same_model_and_others_another(
    trained: Trained, tmp_path: Path
) -> None:
    """The training reviews have as many of both classes."""
    plain = train_again(trained, tmp_path / "plain")
    balanced = train_again(trained, tmp_path / "balanced", class_weight="balanced")
    numbers = train_again(
        trained, tmp_path / "numbers", class_weight={"negative": 3, "positive": 3}
    )
    assert balanced["validation_loss"] == pytest.approx(plain["validation_loss"], rel=1e-4)
    assert numbers["validation_loss"] == balanced["validation_loss"]
    train_again(trained, tmp_path / "more", class_weight={"negative": 20, "positive": 1})
    reviews = EncodedReviews.load(trained.validation_tensors)
    mean, lower = (scores(tmp_path / name, reviews).mean() for name in ("balanced", "more"))
    assert lower < mean - 0.5  # negative reviews weigh more, so fewer answers are positive


def test_the_weights_of_the_lowest_validation_loss_are_kept(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([0.9, 0.5, 0.5, 0.7])
    weights: list[dict[str, Tensor]] = []

    def scripted(model: SentimentLSTM, *_: Any) -> ValidationResult:
        weights.append({name: value.clone() for name, value in model.state_dict().items()})
        return ValidationResult(next(losses), len(weights) / 10)

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


def test_another_rank_that_resumes_has_no_result(trained: Trained, tmp_path: Path) -> None:
    """Though the checkpoint that rank 0 hands out holds one."""
    folder = tmp_path / "checkpoints"
    stats = train_again(trained, tmp_path / "first", folder, checkpoint_every=STEPS_AN_EPOCH)
    checkpoint = Checkpoints(folder, keep=1).load()
    assert checkpoint is not None and checkpoint.state["best"]

    class Resumed(ProcessGroup):
        def hand_out(self, _: Checkpoint | None) -> Checkpoint | None:
            return checkpoint

    data = TrainingData(
        trained.train_tensors,
        trained.validation_tensors,
        trained.vocabulary,
        (),
        TRAIN,
        TENSORS,
        folder,
        tmp_path,
    )
    _, _, _, found = train_in_group(Resumed(rank=1), data)
    assert found["steps"] == stats["steps"]
    assert found["validation_loss"] is None


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
    step = training_step

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
    step = training_step

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
    training_step(model, batch, optimizer, TrainConfig(clip_norm=0.01))
    moved = [b - a.detach() for a, b in zip(model.parameters(), before, strict=True)]
    assert float(torch.cat([each.flatten() for each in moved]).norm()) == pytest.approx(
        0.01, rel=1e-3
    )


class TestLossThatIsNotFinite:
    def test_it_stops_the_training_with_step_and_rate(
        self, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        step = training_step
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
        step = training_step

        def scaled(*arguments: Any, to: float) -> Tensor:
            return step(*arguments) * 0 + to

        monkeypatch.setattr(trainer, "training_step", partial(scaled, to=6.9))
        train_again(trained, tmp_path, epochs=1)
        monkeypatch.setattr(trainer, "training_step", partial(scaled, to=7.0))
        with pytest.raises(TrainingError, match=r"training loss is 7 at step 4 .*costs 0\.69"):
            train_again(trained, tmp_path / "more", log_every=4)

    def test_no_checkpoint_holds_a_broken_model(
        self, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The weights turn bad between two rows of the history, where a checkpoint is due."""
        step = training_step
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


def test_sentences_teach_the_lstm_but_not_the_ngrams() -> None:
    config = MODEL.model_copy(update={"ngrams": NgramsConfig(buckets=8)})
    batch = Batch(torch.randint(2, 9, (4, 30)), torch.full((4,), 30), torch.tensor([1.0, 0, 1, 0]))

    def moved(sentences: int) -> tuple[Tensor, Tensor, float]:
        torch.manual_seed(1)
        model = SentimentLSTM(config, 9)
        assert model.ngrams is not None
        before = model.embedding.weight.detach().clone()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        train = TrainConfig(model=config, clip_norm=1e9)
        words = Vocabulary(pa.array([*SPECIAL, ".", *"abcdef"]))
        sampler = SentenceSampler(sentences, words, torch.device("cpu")) if sentences else None
        loss = training_step(model, batch, optimizer, train, sampler)
        lstm = model.embedding.weight.detach() - before
        return lstm, model.ngrams.weight.detach().clone(), float(loss)

    (lstm, ngrams, loss), (more, same, reported) = moved(0), moved(2)
    assert not torch.equal(lstm, more)
    assert torch.equal(ngrams, same)
    assert loss == reported  # the loss of whole reviews, comparable to that of validation


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
        probabilities = [1 / (1 + math.exp(-logit)) for logit in after.tolist()]
        labels = reviews.labels.tolist()
        losses = [
            -math.log(p if label else 1 - p) for p, label in zip(probabilities, labels, strict=True)
        ]
        right = [(p >= 0.5) == bool(label) for p, label in zip(probabilities, labels, strict=True)]
        assert result.loss == pytest.approx(sum(losses) / len(losses))
        assert result.accuracy == sum(right) / len(right)

    @pytest.mark.parametrize("mode", [True, False])
    def test_the_model_keeps_its_mode(self, trained: Trained, mode: bool) -> None:
        model = Bundle.load(trained.bundle).model.train(mode)
        reviews = EncodedReviews.load(trained.validation_tensors)
        source = BatchSource(reviews, padding="right", max_length=9, device=torch.device("cpu"))
        trainer.validate(model, source, reviews.labels)
        assert model.training is mode
