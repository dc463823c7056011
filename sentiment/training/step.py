"""One training step: the losses, the optimizer and its learning rate."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from sentiment.model.batches import Batch
from sentiment.model.config import TrainConfig
from sentiment.model.devices import autocast
from sentiment.model.lstm import SentimentLSTM
from sentiment.training.distributed import SINGLE_PROCESS, ProcessGroup
from sentiment.training.sentences import SentenceSampler


def training_step(
    model: SentimentLSTM,
    batch: Batch,
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
    sentences: SentenceSampler | None = None,
    group: ProcessGroup = SINGLE_PROCESS,
    share: float = 1.0,
    weights: Tensor | None = None,
) -> Tensor:
    """Take one optimizer step, and a second one on sentences; return the batch's mean loss.

    The loss is that of the summed logits, as in validation, which is not what a model of several
    branches minimises (see :func:`loss_of`). It stays on the device. In a ``group`` of processes
    ``batch`` is this one's ``share`` (0 to 1) of a whole batch, whose loss is returned. All losses
    are weighted by ``weights``, float (2,), of each review's class.
    """
    with autocast(config.precision, batch.ids.device):
        branches = model.branches(batch.ids, batch.lengths)
        loss = loss_of(branches, batch.labels, weights)
    summed = cross_entropy(branches.detach().float().sum(dim=1), batch.labels, weights)

    def descend(loss: Tensor, reported: Tensor) -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        whole = group.sum(model, reported, share)
        nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
        optimizer.step()
        return whole

    mean = descend(loss, summed)
    if sentences is not None:
        short = sentences(batch)
        with autocast(config.precision, batch.ids.device):
            loss = cross_entropy(model.lstm(short.ids, short.lengths), short.labels, weights)
        descend(loss, loss.detach())
    return mean


def loss_of(branches: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the mean loss of logits of shape (batch, branches).

    With several branches it is half the loss of their sum and half the mean loss of each alone, so
    that no branch relies on another.
    """
    if branches.shape[1] == 1:
        return cross_entropy(branches[:, 0], labels, weights)
    alone = torch.stack(
        [cross_entropy(logits, labels, weights) for logits in branches.unbind(dim=1)]
    )
    return 0.5 * cross_entropy(branches.sum(dim=1), labels, weights) + 0.5 * alone.mean()


def cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the mean binary cross-entropy in nats, each weighted by its class's weight."""
    each = None if weights is None else weights[labels.long()]
    return nn.functional.binary_cross_entropy_with_logits(logits, labels, each)


def rate_scale(config: TrainConfig, step: int, steps: int) -> float:
    """Return the factor, from 0 to 1, on the peak learning rate at a step (from 0) of ``steps``."""
    if config.schedule == "constant":
        return 1.0
    warmup = int(config.warmup * steps)
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return 0.5 * (1 + math.cos(math.pi * done))


def make_optimizer(model: SentimentLSTM, config: TrainConfig) -> torch.optim.Optimizer:
    """Return the fused optimizer; each parameter group holds its ``peak_lr``.

    The n-gram branch has no weight decay: most of its weights are updated too rarely to recover.
    """
    ngrams = list(model.ngrams.parameters()) if model.ngrams else []
    lstm = [each for each in model.parameters() if all(each is not weight for weight in ngrams)]
    groups: list[dict[str, Any]] = []
    if lstm:
        groups.append({"params": lstm, "peak_lr": config.learning_rate})
    if config.model.ngrams:
        rate = config.model.ngrams.learning_rate
        groups.append({"params": ngrams, "peak_lr": rate, "weight_decay": 0.0})
    if config.optimizer == "adam":
        return torch.optim.Adam(groups, lr=config.learning_rate, fused=True)
    return torch.optim.AdamW(
        groups, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
