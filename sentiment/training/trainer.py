"""Fitting a model to reviews: the optimiser's steps, validation, and going on from a checkpoint."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sentiment.errors import TrainingError
from sentiment.model.batches import Batch, BatchSource, training_order
from sentiment.model.config import TrainConfig
from sentiment.model.devices import autocast
from sentiment.model.inference import binary_cross_entropy, combine, score_parts
from sentiment.model.lstm import SentimentLSTM
from sentiment.progress import Progress
from sentiment.training.calibration import fit_scale
from sentiment.training.checkpoints import Checkpoint, Checkpoints
from sentiment.training.distributed import ALONE, Team
from sentiment.training.excerpts import Excerpts
from sentiment.training.history import Record, discard
from sentiment.training.signals import hold_signals

EXPLODED = 10 * math.log(2)  # nats; always answering 0.5 costs log(2)
LOWER = "Lower train.learning_rate or train.clip_norm."


@dataclass(frozen=True)
class Validation:
    """How well a model does on the validation reviews; loss in nats."""

    loss: float
    accuracy: float


class Fit:
    """Training under way: the model, its optimiser, how far it is, and the best weights so far.

    ``source`` holds the training reviews, ``held_out`` those for validation, with their ``labels``
    as uint8 of shape (reviews,). In a ``team`` of processes only rank 0 validates, writes
    checkpoints, tells of progress and answers signals. ``record`` is given each row of the history,
    and again those of a checkpoint from which training goes on.
    """

    def __init__(
        self,
        model: SentimentLSTM,
        config: TrainConfig,
        source: BatchSource,
        held_out: BatchSource,
        labels: npt.NDArray[np.uint8],
        excerpts: Excerpts | None = None,
        team: Team = ALONE,
        record: Record = discard,
    ) -> None:
        self.model, self._config, self._team = model, config, team
        self._tell = record
        self._leads = team.rank == 0
        self._source, self._held_out, self._labels = source, held_out, labels
        self._excerpts = excerpts
        self._optimiser = make_optimiser(model, config)
        self._epoch_steps = math.ceil(len(source) / config.batch_size)
        self._steps = self._epoch_steps * config.epochs
        self._device = next(model.parameters()).device
        self._losses: list[Tensor] = []  # since the last row of the history, on the device
        self._weights: dict[str, Tensor] = {}
        self.step = 0
        self.history: list[dict[str, Any]] = []
        self.best: Validation | None = None
        self.best_step = 0
        self.seconds_before = 0.0  # of work that checkpoints saved
        self._began = time.monotonic()

    def run(self, checkpoints: Checkpoints, progress: Progress) -> Validation | None:
        """Train to the end, from the newest checkpoint if there is one; keep the best weights.

        Returns how good they are; None in a process that does not validate.

        Asked to end by a signal, it saves a checkpoint first. Raises TrainingError when a loss is
        not a number or explodes (see ``check_loss``); no checkpoint is written from then on.
        """
        if self._leads:  # first and alone, since it removes damaged ones
            self._restore(checkpoints.load())
            for row in self.history:
                self._tell(row)
        self._team.wait()
        if not self._leads:
            self._restore(checkpoints.load())
            for places in self._batches():
                self._step(places)
            return None
        with hold_signals() as stop, _naming_the_last(checkpoints):
            for places in self._batches():
                self._team.check()
                self._step(places)
                due = self.step % self._config.checkpoint_every == 0
                if stop or (due and self.step < self._steps):
                    self._check()
                    checkpoints.save(self.step, *self._state())
                if stop:
                    break
                seen = self.step * self._config.batch_size
                total = self._config.epochs * len(self._source)
                progress(min(seen, total), total, **self._figures())
        if self.best is None or self.step < self._steps:
            raise TrainingError(f"Training was stopped after step {self.step:,}; run it again.")
        self.model.load_state_dict(self._weights)
        return self.best

    def _batches(self) -> Iterator[npt.NDArray[np.int64]]:
        """Yield what is left of the epochs' batches; those done before are not drawn again."""
        first, done = divmod(self.step, self._epoch_steps)
        for epoch in range(first, self._config.epochs):
            order = training_order(
                self._source.lengths,
                self._config.batch_size,
                seed=self._config.seed,
                epoch=epoch,
                by_length=self._config.padding == "right",
            )
            yield from order[done if epoch == first else 0 :]

    def _step(self, places: npt.NDArray[np.int64]) -> None:
        config = self._config
        share = rate_share(config, self.step, self._steps)
        for group in self._optimiser.param_groups:
            group["lr"] = share * group["highest"]
        self.model.train()
        self._team.seed(config.seed, self.step)
        own, part = self._team.share(places)
        batch = self._source.take(own)
        self._losses.append(
            training_step(
                self.model, batch, self._optimiser, config, self._excerpts, self._team, part
            )
        )
        self.step += 1
        if not self._leads:
            self._losses = []
            return
        every = config.validate_every or self._epoch_steps
        to_validate = self.step % every == 0 or self.step == self._steps
        if to_validate or self.step % config.log_every == 0:
            self._record(share * config.learning_rate, to_validate)

    def _check(self) -> None:
        """Raise TrainingError rather than let a checkpoint hold a model that is spoilt."""
        share = rate_share(self._config, self.step - 1, self._steps)
        rate = share * self._config.learning_rate
        if self._losses:
            check_loss("training", float(torch.stack(self._losses).mean()), self.step, rate)
        if not all(bool(value.isfinite().all()) for value in self.model.parameters()):
            raise TrainingError(
                f"Weights are no numbers any more after step {self.step:,} (learning rate "
                f"{rate:.2g}). {LOWER}"
            )

    def _record(self, rate: float, to_validate: bool) -> None:
        """Add a row to the history; reading the losses here alone keeps the device busy."""
        loss = float(torch.stack(self._losses).mean())
        self._losses = []
        check_loss("training", loss, self.step, rate)
        result = None
        if to_validate:
            result = validate(self.model, self._held_out, self._labels)
            check_loss("validation", result.loss, self.step, rate)
            if self.best is None or result.loss < self.best.loss:
                self.best, self.best_step = result, self.step
                self._weights = {n: v.clone() for n, v in self.model.state_dict().items()}
        row = {
            "step": self.step,
            "epoch": self.step / self._epoch_steps,
            "train_loss": loss,
            "validation_loss": result.loss if result else None,
            "validation_accuracy": result.accuracy if result else None,
            "learning_rate": rate,
        }
        self.history.append(row)
        self._tell(row)

    def _figures(self) -> dict[str, float]:
        if not self.history:
            return {}
        figures = {"loss": self.history[-1]["train_loss"]}
        measured = [row for row in self.history if row["validation_accuracy"] is not None]
        if measured:
            figures["validation_accuracy"] = measured[-1]["validation_accuracy"]
            figures["validation_loss"] = measured[-1]["validation_loss"]
            figures["validations"] = len(measured)
        return figures

    def _state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        optimiser = self._optimiser.state_dict()["state"]
        tensors = {
            "random": torch.get_rng_state(),
            **{f"model.{name}": value for name, value in self.model.state_dict().items()},
            **{f"best.{name}": value for name, value in self._weights.items()},
            **{f"optimiser.{n}.{k}": v for n, slot in optimiser.items() for k, v in slot.items()},
        }
        if self._losses:
            tensors["losses"] = torch.stack(self._losses)
        if self._device.type == "cuda":
            tensors["random_device"] = torch.cuda.get_rng_state(self._device)
        best = asdict(self.best) if self.best else None
        return tensors, {
            "step": self.step,
            "history": self.history,
            "best": best,
            "best_step": self.best_step,
            "seconds": self.seconds_before + time.monotonic() - self._began,
        }

    def _restore(self, checkpoint: Checkpoint | None) -> None:
        if checkpoint is None:
            return
        tensors, state = checkpoint.tensors, checkpoint.state
        self.step, self.history = state["step"], state["history"]
        self.best = Validation(**state["best"]) if state["best"] else None
        self.best_step = state["best_step"]
        self.seconds_before = state["seconds"]
        self.model.load_state_dict(_under("model.", tensors))
        self._weights = {n: v.to(self._device) for n, v in _under("best.", tensors).items()}
        slots: dict[int, dict[str, Tensor]] = {}
        for name, value in _under("optimiser.", tensors).items():
            number, _, key = name.partition(".")
            slots.setdefault(int(number), {})[key] = value
        groups = self._optimiser.state_dict()["param_groups"]
        self._optimiser.load_state_dict({"state": slots, "param_groups": groups})
        self._losses = list(tensors["losses"].to(self._device)) if "losses" in tensors else []
        torch.set_rng_state(tensors["random"])
        if "random_device" in tensors and self._device.type == "cuda":
            torch.cuda.set_rng_state(tensors["random_device"], self._device)


@contextmanager
def _naming_the_last(checkpoints: Checkpoints) -> Iterator[None]:
    """Let a TrainingError say from where training could go on."""
    try:
        yield
    except TrainingError as error:
        newest = checkpoints.newest()
        where = f"The last checkpoint is {newest}." if newest else "There is no checkpoint yet."
        raise TrainingError(f"{error} {where}") from None


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}


def training_step(
    model: SentimentLSTM,
    batch: Batch,
    optimiser: torch.optim.Optimizer,
    config: TrainConfig,
    excerpts: Excerpts | None = None,
    team: Team = ALONE,
    part: float = 1.0,
) -> Tensor:
    """Take one optimiser step, and one on excerpts; return the mean loss of the model's answers.

    It is still on the device, and is not what was minimised where the model has several parts: so
    it compares with that of the validation. In a ``team`` of processes
    ``batch`` is this one's ``part``, from 0 to 1, of the whole, whose loss is returned.
    """
    with autocast(config.precision, batch.ids.device):
        parts = model.parts(batch.ids, batch.lengths)
        loss = loss_of(parts, batch.labels)
    answered = entropy(parts.detach().float().sum(dim=1), batch.labels)

    def descend(loss: Tensor, figure: Tensor) -> Tensor:
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        whole = team.sum(model, figure, part)
        nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
        optimiser.step()
        return whole

    answered = descend(loss, answered)
    if excerpts is not None:
        short = excerpts(batch)
        with autocast(config.precision, batch.ids.device):
            loss = entropy(model.lstm(short.ids, short.lengths), short.labels)
        descend(loss, loss.detach())
    return answered


def loss_of(parts: Tensor, labels: Tensor) -> Tensor:
    """Return the mean loss of logits of shape (batch, parts).

    With several parts, half of it is that of their sum and half that of each alone: none of them
    may lean on another.
    """
    if parts.shape[1] == 1:
        return entropy(parts[:, 0], labels)
    alone = torch.stack([entropy(logits, labels) for logits in parts.unbind(dim=1)])
    return 0.5 * entropy(parts.sum(dim=1), labels) + 0.5 * alone.mean()


def entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean binary cross-entropy in nats."""
    return nn.functional.binary_cross_entropy_with_logits(logits, labels)


def validate(
    model: SentimentLSTM, source: BatchSource, labels: npt.NDArray[np.uint8]
) -> Validation:
    """Calibrate the model on the validation reviews and say how well it then does on them.

    ``labels`` has shape (reviews,).
    """
    parts = score_parts(model, source)
    model.scale.copy_(torch.tensor(fit_scale(parts, labels)))
    logits = combine(parts, model)
    correct = (logits >= 0) == (labels == 1)
    return Validation(binary_cross_entropy(logits, labels), float(correct.mean()))


def rate_share(config: TrainConfig, step: int, steps: int) -> float:
    """Return which share of the highest learning rate a step (from 0) of ``steps`` takes."""
    if config.schedule == "constant":
        return 1.0
    warmup = int(config.warmup * steps)
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return 0.5 * (1 + math.cos(math.pi * done))


def make_optimiser(model: SentimentLSTM, config: TrainConfig) -> torch.optim.Optimizer:
    """Return the fused optimiser of a recipe; each group's ``highest`` is its learning rate.

    The weights of the n-grams are not decayed: most of them are met too rarely to make up for it.
    """
    wide = list(model.ngrams.parameters()) if model.ngrams else []
    deep = [parameter for parameter in model.parameters() if all(parameter is not w for w in wide)]
    groups: list[dict[str, Any]] = [{"params": deep, "highest": config.learning_rate}]
    if config.model.ngrams:
        rate = config.model.ngrams.learning_rate
        groups.append({"params": wide, "highest": rate, "weight_decay": 0.0})
    if config.optimiser == "adam":
        return torch.optim.Adam(groups, lr=config.learning_rate, fused=True)
    return torch.optim.AdamW(
        groups, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )


def check_loss(name: str, loss: float, step: int, rate: float) -> None:
    """Raise TrainingError for a loss that is not a number, or over ten times that of guessing."""
    if not loss <= EXPLODED:
        raise TrainingError(
            f"The {name} loss is {loss:.3g} at step {step:,} (learning rate {rate:.2g}); guessing "
            f"costs {math.log(2):.2f}. {LOWER}"
        )
