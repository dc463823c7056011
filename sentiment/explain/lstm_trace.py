"""The gates of an LSTM at each word, which ``nn.LSTM`` does not expose.

Recomputes the steps of ``nn.LSTM`` from its weights, one by one.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from sentiment.model.lstm import Layer, SentimentLSTM


class Steps(NamedTuple):
    """One direction of a layer, one row per step; each float of shape (steps, hidden size).

    ``input``, ``forget`` and ``output`` are the gates, from 0 (closed) to 1 (open).
    """

    input: Tensor
    forget: Tensor
    output: Tensor
    cell: Tensor
    hidden: Tensor


@torch.no_grad()
def trace(model: SentimentLSTM, ids: Tensor) -> list[list[Steps]]:
    """Return the steps through a review for each layer and direction; ``ids`` is (steps,).

    The backward direction's rows are in the order of the words too.
    """
    states, layers = model.embedding(ids), []
    for layer in model.layers:
        assert isinstance(layer, Layer)
        directions = [_run(layer.ahead, states)]
        if layer.back is not None:
            back = _run(layer.back, states.flip(0))
            directions.append(Steps(*(rows.flip(0) for rows in back)))
        layers.append(directions)
        states = torch.cat([steps.hidden for steps in directions], dim=1)
    return layers


def _run(lstm: nn.LSTM, inputs: Tensor) -> Steps:
    weights = dict(lstm.named_parameters())
    weight, bias = weights["weight_hh_l0"], weights["bias_hh_l0"]
    hidden = cell = torch.zeros(lstm.hidden_size, device=inputs.device)
    rows = []
    for projected in inputs @ weights["weight_ih_l0"].T + weights["bias_ih_l0"]:
        i, f, g, o = (projected + weight @ hidden + bias).chunk(4)
        i, f, o = i.sigmoid(), f.sigmoid(), o.sigmoid()
        cell = f * cell + i * g.tanh()
        hidden = o * cell.tanh()
        rows.append(Steps(i, f, o, cell, hidden))
    return Steps(*(torch.stack(column) for column in zip(*rows, strict=True)))
