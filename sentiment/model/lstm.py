"""The model: a sum of one or two branches, each of which has a logit.

The first is the LSTM: word embedding, LSTM layers, pooling over the steps. The second is linear
over n-grams. The latter alone is a linear model.
"""

import torch
from torch import Tensor, nn

from sentiment.model.config import ModelConfig
from sentiment.model.ngrams import Ngrams
from sentiment.text.vocabulary import PAD, UNKNOWN


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
        for depth, layer in enumerate(self.layers):
            states = layer(self.layer_dropout(states) if depth else states, lengths)
        pooled = pool(states, lengths, self.config.pooling, self.config.hidden_size)
        logits: Tensor = self.head(self.head_dropout(pooled)).squeeze(-1)
        return logits


class Layer(nn.Module):
    """One LSTM layer in one or both directions, over reviews padded on the right."""

    def __init__(self, input_size: int, hidden_size: int, bidirectional: bool) -> None:
        super().__init__()
        # Attributes name the weights in a bundle: renaming them makes older weights unreadable.
        self.ahead = nn.LSTM(input_size, hidden_size, batch_first=True)
        self.back = nn.LSTM(input_size, hidden_size, batch_first=True) if bidirectional else None

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Map (batch, steps, input size) to (batch, steps, directions * hidden size)."""
        forward: Tensor = self.ahead(inputs)[0]
        if self.back is None:
            return forward
        backward = reverse(self.back(reverse(inputs, lengths))[0], lengths)
        return torch.cat([forward, backward], dim=-1)


def reverse(states: Tensor, lengths: Tensor) -> Tensor:
    """Reverse each row within its length, leaving the padding in place."""
    step = torch.arange(states.shape[1], device=states.device)
    place = torch.where(step < lengths[:, None], lengths[:, None] - 1 - step, step)
    return states.gather(1, place[:, :, None].expand_as(states))


def pool(states: Tensor, lengths: Tensor, how: str, hidden_size: int) -> Tensor:
    """Reduce (batch, steps, width) to (batch, width), or to twice the width for ``mean+max``.

    ``last`` takes each direction's state after its last word; the backward direction's (columns
    from ``hidden_size`` on) is at step 0.
    """
    if how == "last":
        rows = torch.arange(states.shape[0], device=states.device)
        forward = states[rows, lengths - 1, :hidden_size]
        return torch.cat([forward, states[:, 0, hidden_size:]], dim=-1)
    inside = (torch.arange(states.shape[1], device=states.device) < lengths[:, None])[:, :, None]
    pooled = []
    if "mean" in how:
        pooled.append(states.masked_fill(~inside, 0.0).sum(dim=1) / lengths[:, None])
    if "max" in how:
        pooled.append(states.masked_fill(~inside, float("-inf")).amax(dim=1))
    return torch.cat(pooled, dim=-1)
