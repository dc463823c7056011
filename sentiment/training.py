"""Stage ``train``: encoded reviews become a model bundle."""

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor, nn

from sentiment.batches import Batch, BatchSource, training_order
from sentiment.bundle import BundleConfig, save_bundle
from sentiment.cleaning import TokenizeConfig
from sentiment.devices import choose_device
from sentiment.errors import TrainingError
from sentiment.model import SentimentLSTM
from sentiment.progress import Progress, silent
from sentiment.recipe import TrainConfig
from sentiment.scoring import binary_cross_entropy, score
from sentiment.tensors import EncodedReviews, TensorsConfig
from sentiment.vocabulary import Vocabulary

HISTORY = pa.schema(
    [
        ("step", pa.int64()),
        ("epoch", pa.float64()),
        ("train_loss", pa.float64()),
        ("validation_loss", pa.float64()),
        ("validation_accuracy", pa.float64()),
        ("learning_rate", pa.float64()),
    ]
)


@dataclass(frozen=True)
class Validation:
    """How well a model does on the validation reviews; loss in nats."""

    loss: float
    accuracy: float


def validate(model: SentimentLSTM, source: BatchSource, labels: np.ndarray) -> Validation:
    """Score the validation reviews, shape (reviews,), against their labels."""
    logits = score(model, source)
    correct = (logits >= 0) == (labels == 1)
    return Validation(binary_cross_entropy(logits, labels), float(correct.mean()))


def learning_rate(config: TrainConfig, step: int, steps: int) -> float:
    """Return the rate of a step (from 0) of ``steps``."""
    if config.schedule == "constant":
        return config.learning_rate
    warmup = int(config.warmup * steps)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def make_optimiser(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Return the fused optimiser of a recipe."""
    if config.optimiser == "adam":
        return torch.optim.Adam(model.parameters(), lr=config.learning_rate, fused=True)
    return torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )


def training_step(
    model: SentimentLSTM, batch: Batch, optimiser: torch.optim.Optimizer, clip_norm: float
) -> Tensor:
    """Take one optimiser step and return the batch's mean loss, still on the device."""
    loss = nn.functional.binary_cross_entropy_with_logits(
        model(batch.ids, batch.lengths), batch.labels
    )
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
    optimiser.step()
    return loss.detach()


def train_model(
    train_tensors: Sequence[Path],
    validation_tensors: Sequence[Path],
    vocabulary: Path,
    *,
    train: TrainConfig,
    tensors: TensorsConfig,
    tokenize: TokenizeConfig,
    out: Path,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Train a model and write its bundle, with the weights of the lowest validation loss.

    The same inputs and seed give the same bytes on one machine's CPU. Returns the best validation
    figures and the model's size. Raises TrainingError when the loss is not a number.
    """
    device = choose_device(train.device)
    gpus = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus), _denormals_as_zero():
        torch.manual_seed(train.seed)
        learning = EncodedReviews.load(train_tensors)
        held_out = EncodedReviews.load(validation_tensors)
        model = SentimentLSTM(train.model, len(Vocabulary.load(vocabulary))).to(device)
        history, best, best_step = _fit(
            model, learning, held_out, train, tensors.max_length, device, progress
        )
    config = BundleConfig(tokenize=tokenize, tensors=tensors, train=train)
    save_bundle(out, config, vocabulary, model)
    columns = [pa.array([row[name] for row in history], pa_type) for name, pa_type in _columns()]
    pq.write_table(pa.table(columns, schema=HISTORY), out / "history.parquet", compression="zstd")
    return {
        "rows": len(learning),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "steps": history[-1]["step"],
        "best_step": best_step,
        "validation_loss": best.loss,
        "validation_accuracy": best.accuracy,
        "device": device.type,
    }


@contextmanager
def _denormals_as_zero() -> Iterator[None]:
    """A fresh model's numbers are so small that the CPU would handle them 7 times slower."""
    before = sys.float_info.min / 2 == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def _columns() -> Iterator[tuple[str, pa.DataType]]:
    return ((field.name, field.type) for field in HISTORY)


def _fit(
    model: SentimentLSTM,
    learning: EncodedReviews,
    held_out: EncodedReviews,
    config: TrainConfig,
    max_length: int,
    device: torch.device,
    progress: Progress,
) -> tuple[list[dict[str, Any]], Validation, int]:
    """Train in place, leave the best weights in the model, return the history and the best."""
    source = BatchSource(
        learning,
        padding=config.padding,
        max_length=min(config.max_length or max_length, max_length),
        device=device,
    )
    validation_source = BatchSource(
        held_out, padding=config.padding, max_length=max_length, device=device
    )
    optimiser = make_optimiser(model, config)
    steps_an_epoch = math.ceil(len(source) / config.batch_size)
    steps = steps_an_epoch * config.epochs
    validate_every = config.validate_every or steps_an_epoch
    history: list[dict[str, Any]] = []
    best: tuple[Validation, int, dict[str, Tensor]] | None = None
    losses: list[Tensor] = []
    shown: dict[str, float] = {}
    step = seen = 0
    for epoch in range(config.epochs):
        order = training_order(
            source.lengths,
            config.batch_size,
            seed=config.seed,
            epoch=epoch,
            by_length=config.padding == "right",
        )
        for places in order:
            rate = learning_rate(config, step, steps)
            for group in optimiser.param_groups:
                group["lr"] = rate
            model.train()
            losses.append(training_step(model, source.take(places), optimiser, config.clip_norm))
            step += 1
            seen += len(places)
            progress(seen, len(source) * config.epochs, **shown)
            to_validate = step % validate_every == 0 or step == steps
            if not to_validate and step % config.log_every:
                continue
            mean_loss = float(torch.stack(losses).mean())
            losses = []
            _check_loss("training", mean_loss, step, rate)
            result = None
            if to_validate:
                result = validate(model, validation_source, held_out.labels)
                _check_loss("validation", result.loss, step, rate)
            history.append(
                {
                    "step": step,
                    "epoch": step / steps_an_epoch,
                    "train_loss": mean_loss,
                    "validation_loss": result.loss if result else None,
                    "validation_accuracy": result.accuracy if result else None,
                    "learning_rate": rate,
                }
            )
            shown["loss"] = mean_loss
            if result is not None:
                shown["validation_accuracy"] = result.accuracy
                if best is None or result.loss < best[0].loss:
                    weights = {name: value.clone() for name, value in model.state_dict().items()}
                    best = (result, step, weights)
            progress(seen, len(source) * config.epochs, **shown)
    assert best is not None  # the last step always validates
    model.load_state_dict(best[2])
    return history, best[0], best[1]


def _check_loss(name: str, loss: float, step: int, rate: float) -> None:
    if not math.isfinite(loss):
        raise TrainingError(
            f"The {name} loss is {loss} at step {step:,} (learning rate {rate:.2g}). "
            "Lower train.learning_rate or train.clip_norm."
        )
