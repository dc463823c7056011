"""The gates' trace against ``nn.LSTM`` itself, which returns its hidden states and last cell."""

import pytest
import torch

from sentiment.explain.lstm_trace import trace
from sentiment.model.config import ModelConfig
from sentiment.model.lstm import SentimentLSTM, in_order, reverse


@pytest.mark.parametrize(("layers", "bidirectional"), [(1, False), (1, True), (3, True)])
def test_the_traced_states_are_those_of_the_lstm(layers: int, bidirectional: bool) -> None:
    torch.manual_seed(layers)
    config = ModelConfig(
        embedding_size=5, hidden_size=7, layers=layers, bidirectional=bidirectional
    )
    model = SentimentLSTM(config, 20).eval()
    ids = torch.randint(1, 20, (23,))
    lengths = torch.tensor([len(ids)])
    with torch.no_grad():
        states = model.embedding(ids)[None]
        for layer, directions in zip(model.layers, trace(model, ids), strict=True):
            ahead, (_, last) = layer.ahead(states)  # type: ignore[operator, union-attr]
            torch.testing.assert_close(directions[0].hidden, ahead[0], rtol=0, atol=1e-5)
            torch.testing.assert_close(directions[0].cell[-1], last[0, 0], rtol=0, atol=1e-5)
            if bidirectional:
                turned = reverse(states, lengths)
                _, (_, first) = layer.back(turned)  # type: ignore[operator, union-attr]
                torch.testing.assert_close(directions[1].cell[0], first[0, 0], rtol=0, atol=1e-5)
            states = in_order(layer(states, lengths), lengths)
            found = torch.cat([steps.hidden for steps in directions], dim=1)
            torch.testing.assert_close(found, states[0], rtol=0, atol=1e-5)
            assert len(directions) == 1 + bidirectional


def test_a_gate_that_its_bias_holds_shut_is_shut() -> None:
    model = SentimentLSTM(ModelConfig(embedding_size=3, hidden_size=2, bidirectional=False), 9)
    with torch.no_grad():
        # Each row belongs to a gate: two for the input gate, two for the forget gate, and so on.
        model.layers[0].ahead.bias_hh_l0[2:4] = -100.0  # type: ignore[union-attr, index, operator]
        model.layers[0].ahead.bias_hh_l0[6:8] = 100.0  # type: ignore[union-attr, index, operator]
    steps = trace(model, torch.tensor([3, 4, 5]))[0][0]
    assert steps.forget.max() < 1e-6
    assert steps.output.min() > 1 - 1e-6
    assert 0.01 < steps.input.min() < steps.input.max() < 0.99
