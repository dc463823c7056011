"""The model: a sum of one or two branches, each of which has a logit.

The first is the LSTM: word embedding, LSTM layers, pooling over the steps. The second is linear
over n-grams. The latter alone is a linear model.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sentiment.model.config import ModelConfig
from sentiment.model.ngrams import BATCH_SIZE as NGRAMS_AT_ONCE
from sentiment.model.ngrams import Ngrams
from sentiment.text.vocabulary import PAD, UNKNOWN

BATCH_SIZE = 64  # reviews that the LSTM scores at a time


class Part(NamedTuple):
    """A part of the model: its logits for ids and lengths, of so many reviews at a time."""

    logits: Callable[[Tensor, Tensor], Tensor]
    batch_size: int


class SentimentLSTM(nn.Module):
    """Maps reviews padded on the right to the logit of "positive".

    A review's logit never depends on its batch or on padding: the backward direction reverses each
    review within its length, and pooling reads only the states within the length.
    """

    scale: Tensor  # float (branches,): factor of each branch's logit, fitted on validation

    def __init__(self, config: ModelConfig, vocabulary_size: int) -> None:
        super().__init__()
        self.config = config
        if config.lstm:
            self.embedding = nn.Embedding(vocabulary_size, config.embedding_size)
            nn.init.normal_(self.embedding.weight, std=config.embedding_std)
            directions = 2 if config.bidirectional else 1
            width = directions * config.hidden_size
            sizes = [config.embedding_size] + [width] * (config.layers - 1)
            self.layers = nn.ModuleList(
                Layer(size, config.hidden_size, config.bidirectional) for size in sizes
            )
            self.embedding_dropout = nn.Dropout(config.embedding_dropout)
            self.layer_dropout = nn.Dropout(config.layer_dropout)
            self.head_dropout = nn.Dropout(config.head_dropout)
            self.head = nn.Linear(width * (2 if config.pooling == "mean+max" else 1), 1)
        self.ngrams = Ngrams(config.ngrams, vocabulary_size) if config.ngrams else None
        self.branch_names = config.branch_names
        self.register_buffer("scale", torch.ones(len(self.branch_names)))

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Return logits, float of shape (batch,).

        ``ids`` has shape (batch, steps), ``lengths`` shape (batch,) with values from 1 to steps.
        """
        return (self.branches(ids, lengths) * self.scale).sum(dim=-1)

    def branches(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Return each branch's logits before scaling, float of shape (batch, branches)."""
        logits = [self.lstm(ids, lengths)] if self.config.lstm else []
        if self.ngrams is not None:
            logits.append(self.ngrams(ids))
        return torch.stack(logits, dim=-1)

    def lstm(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Return the LSTM branch's logits, float of shape (batch,)."""
        if self.training and self.config.word_dropout:
            hidden = torch.rand(ids.shape, device=ids.device) < self.config.word_dropout
            # A left-padded model reads the padding. A review without words is one step of padding.
            words = (ids != PAD) | (lengths == 1)[:, None]
            ids = ids.masked_fill(hidden & words, UNKNOWN)
        return self.read(self.embedding_dropout(self.embedding(ids)), lengths)

    def read(self, states: Tensor, lengths: Tensor) -> Tensor:
        """Return the LSTM branch's logits for embedded words, (batch, steps, embedding size)."""
        directions = [states]
        for depth, layer in enumerate(self.layers):
            if depth:
                states = self.layer_dropout(in_order(directions, lengths))
            directions = layer(states, lengths)
        pooled = pool(directions, lengths, self.config.pooling)
        logits: Tensor = self.head(self.head_dropout(pooled)).squeeze(-1)
        return logits

    def parts(self, *, rounded: bool) -> list[Part]:
        """Return parts whose logits add up to the branches', the cheapest first.

        The n-grams come first. Then come the LSTM's two directions, or the whole LSTM if they are
        not separable. ``rounded`` directions compute in bfloat16.
        """
        ngrams = self.ngrams
        parts = [Part(lambda ids, _: ngrams(ids), NGRAMS_AT_ONCE)] if ngrams is not None else []
        lstm: list[Callable[[Tensor, Tensor], Tensor]] = [self.lstm] * self.config.lstm
        if self.config.separable:
            lstm = [partial(self._direction, number=n, rounded=rounded) for n in (0, 1)]
        return parts + [Part(logits, BATCH_SIZE) for logits in lstm]

    def _direction(self, ids: Tensor, lengths: Tensor, number: int, rounded: bool) -> Tensor:
        """Return what one direction adds to the LSTM's logit, float (batch,), without dropout.

        The direction ahead (0) has the bias.
        """
        (layer,) = self.layers
        assert isinstance(layer, Layer)
        with torch.autocast(ids.device.type, torch.bfloat16, enabled=rounded):
            states = layer.direction(self.embedding(ids), lengths, number)
        pooled = pool([states.float()], lengths, self.config.pooling)
        weight = self.head.weight.view(-1, 2, self.config.hidden_size)[:, number].flatten()
        logits: Tensor = pooled @ weight
        return logits + self.head.bias if number == 0 else logits


class Layer(nn.Module):
    """One LSTM layer in one or both directions, over reviews padded on the right."""

    def __init__(self, input_size: int, hidden_size: int, bidirectional: bool) -> None:
        super().__init__()
        # Attributes name the weights in a bundle: renaming them makes older weights unreadable.
        self.ahead = nn.LSTM(input_size, hidden_size, batch_first=True)
        self.back = nn.LSTM(input_size, hidden_size, batch_first=True) if bidirectional else None

    def forward(self, inputs: Tensor, lengths: Tensor) -> list[Tensor]:
        """Map (batch, steps, input size) to each direction's (batch, steps, hidden size).

        The backward direction's states are in the order in which it reads: the last word's first.
        """
        directions = 1 if self.back is None else 2
        return [self.direction(inputs, lengths, number) for number in range(directions)]

    def direction(self, inputs: Tensor, lengths: Tensor, number: int) -> Tensor:
        """Return the states of one direction, ahead (0) or back (1), in its own order."""
        if number == 0 or self.back is None:
            states: Tensor = self.ahead(inputs)[0]
        else:
            states = self.back(reverse(inputs, lengths))[0]
        return states


def in_order(directions: list[Tensor], lengths: Tensor) -> Tensor:
    """Return all directions' states in the words' order, (batch, steps, width)."""
    ahead, *back = directions
    return torch.cat([ahead, *(reverse(states, lengths) for states in back)], dim=-1)


def reverse(states: Tensor, lengths: Tensor) -> Tensor:
    """Reverse each row within its length, leaving the padding in place."""
    # Not len() or unpacking, which the export to ONNX would take for constants.
    rows, steps = states.shape[0], states.shape[1]
    step = torch.arange(steps, device=states.device)
    place = torch.where(step < lengths[:, None], lengths[:, None] - 1 - step, step)
    first = steps * torch.arange(rows, device=states.device)
    # Whole rows of the flat states: `gather` would take them number by number.
    return states.flatten(0, 1)[(first[:, None] + place).flatten()].view_as(states)


def pool(directions: list[Tensor], lengths: Tensor, how: str) -> Tensor:
    """Reduce each direction's (batch, steps, hidden size) to (batch, width).

    ``last`` takes each direction's state after the last word that it reads; ``mean`` and ``max``
    are over the words. The width is the directions' hidden sizes, twice for ``mean+max``.
    """
    if how == "last":
        rows = torch.arange(lengths.shape[0], device=lengths.device)
        return torch.cat([states[rows, lengths - 1] for states in directions], dim=-1)
    step = torch.arange(directions[0].shape[1], device=lengths.device)
    inside = (step < lengths[:, None])[:, :, None]
    pooled = []
    if "mean" in how:
        pooled += [(states * inside).sum(dim=1) / lengths[:, None] for states in directions]
    if "max" in how:
        padding = torch.where(inside, 0.0, float("-inf"))
        pooled += [(states + padding).amax(dim=1) for states in directions]
    return torch.cat(pooled, dim=-1)
