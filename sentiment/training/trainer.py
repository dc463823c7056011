"""The training loop: steps, validation, checkpoints."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sentiment.errors import TrainingError
from sentiment.model.batches import Batch, BatchSource, Places, training_order
from sentiment.model.config import TrainConfig
from sentiment.model.inference import binary_cross_entropy, combine, score_branches
from sentiment.model.lstm import SentimentLSTM
from sentiment.progress import Progress
from sentiment.training.calibration import fit_scale
from sentiment.training.checkpoints import Checkpoint, Checkpoints
from sentiment.training.class_weights import ClassWeights
from sentiment.training.distributed import SINGLE_PROCESS, ProcessGroup
from sentiment.training.history import Record, discard
from sentiment.training.sentences import SentenceSampler
from sentiment.training.signals import hold_signals
from sentiment.training.step import make_optimizer, rate_scale, training_step

EXPLODED = 10 * math.log(2)  # nats; always answering 0.5 costs log(2)
ADVICE = (
    "Lower train.learning_rate (of the n-grams: train.model.ngrams.learning_rate) or "
    "train.clip_norm."
)


@dataclass(frozen=True)
class ValidationResult:
    """Loss (in nats) and accuracy on the validation reviews."""

    loss: float
    accuracy: float


class Trainer:
    """Trains a model and keeps the weights with the lowest validation loss.

    ``source`` holds the training reviews, ``validation`` those for validation, with ``labels``
    (uint8, shape (reviews,)). In a ``group`` of processes only rank 0 validates, reads and writes
    checkpoints, and reports progress; all stop after the same step. ``record`` is called with each
    row of the history, and on resuming with all earlier rows. ``weights`` are those of the two
    classes in every loss (see ``class_weights``), None for equal ones.
    """

    def __init__(
        self,
        model: SentimentLSTM,
        config: TrainConfig,
        source: BatchSource,
        validation: BatchSource,
        labels: npt.NDArray[np.uint8],
        sentences: SentenceSampler | None = None,
        group: ProcessGroup = SINGLE_PROCESS,
        record: Record = discard,
        weights: ClassWeights | None = None,
    ) -> None:
        self.model, self._config, self._group = model, config, group
        self._record = record
        self._leads = group.rank == 0
        self._source, self._validation, self._labels = source, validation, labels
        self._sentences = sentences
        self._optimizer = make_optimizer(model, config)
        self._steps_per_epoch = math.ceil(len(source) / config.batch_size)
        self._total_steps = self._steps_per_epoch * config.epochs
        self._device = next(model.parameters()).device
        self._validation_weights = None if weights is None else weights[labels]
        self._class_weights = (
            None if weights is None else torch.tensor(weights, device=self._device).float()
        )
        self._losses: list[Tensor] = []  # since the last row of the history, on the device
        self._weights: dict[str, Tensor] = {}
        self.step = 0
        self.history: list[dict[str, Any]] = []
        self.best: ValidationResult | None = None
        self.best_step = 0
        self.seconds_before = 0.0  # spent before the checkpoint that training resumed from
        self._began = time.monotonic()

    def run(self, checkpoints: Checkpoints, progress: Progress) -> ValidationResult | None:
        """Train to the end, from the newest checkpoint if there is one, and load the best weights.

        Returns their validation result, or None on other ranks than 0. On SIGTERM or SIGINT it
        saves a checkpoint first. Raises TrainingError when a loss is not finite or explodes (see
        ``check_loss``), without another checkpoint.
        """
        self._restore(self._group.hand_out(checkpoints.load() if self._leads else None))
        if self._leads:
            for row in self.history:
                self._record(row)
        naming = _naming_last_checkpoint(checkpoints) if self._leads else nullcontext()
        stopping = False
        with hold_signals() as stop, naming:
            for batch, share in self._batches():
                self._group.check()
                self._take_step(batch, share)
                stopping = self._group.any(bool(stop))
                if self._leads:
                    self._save_and_report(checkpoints, progress, stopping)
                if stopping:
                    break
        if self.step < self._total_steps:
            raise TrainingError(f"Training was stopped after step {self.step:,}; run it again.")
        if not self._leads:
            return None
        self.model.load_state_dict(self._weights)
        return self.best

    def _save_and_report(
        self, checkpoints: Checkpoints, progress: Progress, stopping: bool
    ) -> None:
        due = self.step % self._config.checkpoint_every == 0
        if stopping or (due and self.step < self._total_steps):
            self._check_before_saving()
            checkpoints.save(self.step, *self._state())
        if not stopping:
            seen = self.step * self._config.batch_size
            total = self._config.epochs * len(self._source)
            progress(min(seen, total), total, **self._metrics())

    def _batches(self) -> Iterator[tuple[Batch, float]]:
        """Yield this process's shard of the remaining batches, and its share of each."""

        def gather(places: Places) -> tuple[Batch, float]:
            own, share = self._group.shard(places)
            return self._source.take(own), share

        return self._source.ahead(map(gather, self._places()))

    def _places(self) -> Iterator[Places]:
        """Yield the remaining batches of all epochs as positions of reviews."""
        first, done = divmod(self.step, self._steps_per_epoch)
        for epoch in range(first, self._config.epochs):
            order = training_order(
                self._source.lengths,
                self._config.batch_size,
                seed=self._config.seed,
                epoch=epoch,
                by_length=self._config.padding == "right",
            )
            yield from islice(order, done if epoch == first else 0, None)

    def _take_step(self, batch: Batch, share: float) -> None:
        config = self._config
        scale = rate_scale(config, self.step, self._total_steps)
        for parameters in self._optimizer.param_groups:
            parameters["lr"] = scale * parameters["peak_lr"]
        self.model.train()
        self._group.seed(config.seed, self.step)
        self._losses.append(
            training_step(
                self.model,
                batch,
                self._optimizer,
                config,
                self._sentences,
                self._group,
                share,
                self._class_weights,
            )
        )
        self.step += 1
        if not self._leads:
            self._losses = []
            return
        every = config.validate_every or self._steps_per_epoch
        to_validate = self.step % every == 0 or self.step == self._total_steps
        if to_validate or self.step % config.log_every == 0:
            self._add_to_history(to_validate)

    def _check_before_saving(self) -> None:
        """Raise TrainingError rather than write a checkpoint of a broken model."""
        if self._losses:
            check_loss("training", float(torch.stack(self._losses).mean()), self.step, self._rate)
        if not all(bool(value.isfinite().all()) for value in self.model.parameters()):
            raise TrainingError(
                f"Some weights are not finite after step {self.step:,} (learning rate "
                f"{self._rate:.2g}). {ADVICE}"
            )

    @property
    def _rate(self) -> float:
        """The learning rate of the last step; with two branches, the LSTM's."""
        return float(self._optimizer.param_groups[0]["lr"])

    def _add_to_history(self, to_validate: bool) -> None:
        """Add a row to the history, validating first if due; keep the best weights.

        Losses are read only here, to keep the device busy.
        """
        loss = float(torch.stack(self._losses).mean())
        self._losses = []
        check_loss("training", loss, self.step, self._rate)
        result = None
        if to_validate:
            result = validate(self.model, self._validation, self._labels, self._validation_weights)
            check_loss("validation", result.loss, self.step, self._rate)
            if self.best is None or result.loss < self.best.loss:
                self.best, self.best_step = result, self.step
                self._weights = {n: v.clone() for n, v in self.model.state_dict().items()}
        row = {
            "step": self.step,
            "epoch": self.step / self._steps_per_epoch,
            "train_loss": loss,
            "validation_loss": result.loss if result else None,
            "validation_accuracy": result.accuracy if result else None,
            "learning_rate": self._rate,
        }
        self.history.append(row)
        self._record(row)

    def _metrics(self) -> dict[str, float]:
        if not self.history:
            return {}
        metrics = {"loss": self.history[-1]["train_loss"]}
        validated = [row for row in self.history if row["validation_accuracy"] is not None]
        if validated:
            metrics["validation_accuracy"] = validated[-1]["validation_accuracy"]
            metrics["validation_loss"] = validated[-1]["validation_loss"]
            metrics["validations"] = len(validated)
        return metrics

    def _state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        optimizer = self._optimizer.state_dict()["state"]
        tensors = {
            "random": torch.get_rng_state(),
            **{f"model.{name}": value for name, value in self.model.state_dict().items()},
            **{f"best.{name}": value for name, value in self._weights.items()},
            **{f"optimizer.{n}.{k}": v for n, slot in optimizer.items() for k, v in slot.items()},
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
        self.best = ValidationResult(**state["best"]) if state["best"] else None
        self.best_step = state["best_step"]
        self.seconds_before = state["seconds"]
        self.model.load_state_dict(_under("model.", tensors))
        self._weights = {n: v.to(self._device) for n, v in _under("best.", tensors).items()}
        slots: dict[int, dict[str, Tensor]] = {}
        for name, value in _under("optimizer.", tensors).items():
            number, _, key = name.partition(".")
            slots.setdefault(int(number), {})[key] = value
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": slots, "param_groups": groups})
        self._losses = list(tensors["losses"].to(self._device)) if "losses" in tensors else []
        torch.set_rng_state(tensors["random"])
        if "random_device" in tensors and self._device.type == "cuda":
            torch.cuda.set_rng_state(tensors["random_device"], self._device)


@contextmanager
def _naming_last_checkpoint(checkpoints: Checkpoints) -> Iterator[None]:
    """Add to a TrainingError where training can resume."""
    try:
        yield
    except TrainingError as error:
        newest = checkpoints.newest()
        where = f"The last checkpoint is {newest}." if newest else "There is no checkpoint yet."
        raise TrainingError(f"{error} {where}") from None


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}


def validate(
    model: SentimentLSTM,
    source: BatchSource,
    labels: npt.NDArray[np.uint8],
    weights: npt.NDArray[np.float64] | None = None,
) -> ValidationResult:
    """Calibrate the model on the validation reviews, then measure it on them.

    ``labels`` has shape (reviews,). ``weights`` (reviews,) weigh calibration and loss.
    """
    branches = score_branches(model, source)
    model.scale.copy_(torch.tensor(fit_scale(branches, labels, weights)))
    logits = combine(branches, model)
    correct = (logits >= 0) == (labels == 1)
    loss = binary_cross_entropy(logits, labels, weights)
    return ValidationResult(loss, float(correct.mean()))


def check_loss(name: str, loss: float, step: int, rate: float) -> None:
    """Raise TrainingError for a loss that is not a number or over ten times that of guessing."""
    if not loss <= EXPLODED:
        raise TrainingError(
            f"The {name} loss is {loss:.3g} at step {step:,} (learning rate {rate:.2g}); guessing "
            f"costs {math.log(2):.2f}. {ADVICE}"
        )
