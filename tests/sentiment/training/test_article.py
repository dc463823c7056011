"""The preset ``article`` is the recipe of the 2019 notebook, written out here in plain PyTorch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.support.plain_training import encoded
from flows.config.presets import load_config
from sentiment.model.batches import BatchSource, training_order
from sentiment.model.lstm import SentimentLSTM
from sentiment.training.checkpoints import Checkpoints
from sentiment.training.trainer import Trainer
from tasks.run.config import PipelineConfig

WORDS, STEPS, ROWS = 40, 3, 24
SMALL = (
    "train.model.embedding_size=6",
    "train.model.hidden_size=5",
    "train.batch_size=8",
    "train.epochs=1",
    "train.log_every=1",
    "train.device=cpu",
    "tensors.max_length=12",
)
NO_DROPOUT = ("train.model.layer_dropout=0", "train.model.head_dropout=0")


class Notebook(nn.Module):
    """The notebook's network, with zero states for each batch and the head on the last step."""

    def __init__(self, vocabulary_size: int, embedding: int = 400, hidden: int = 512) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, embedding)
        self.lstm = nn.LSTM(embedding, hidden, 2, dropout=0.5, batch_first=True)
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(hidden, 1)

    def forward(self, ids: Tensor) -> Tensor:
        out, _ = self.lstm(self.embedding(ids))
        logits: Tensor = self.fc(self.dropout(out[:, -1]))
        return torch.sigmoid(logits).squeeze(1)

    def without_dropout(self) -> "Notebook":
        self.lstm.dropout = self.dropout.p = 0.0
        return self

    def weights(self) -> dict[str, Tensor]:
        """Return the weights under the names that ``SentimentLSTM`` has for them."""
        named = {"embedding.weight": self.embedding.weight}
        for name, value in self.lstm.named_parameters():
            kind, _, depth = name.rpartition("_l")
            named[f"layers.{depth}.ahead.{kind}_l0"] = value
        named |= {"head.weight": self.fc.weight, "head.bias": self.fc.bias}
        return {**named, "scale": torch.ones(1)}  # which is fitted afterwards


def pad(reviews: list[list[int]], length: int) -> Tensor:
    """The notebook's ``pad_input``."""
    features = np.zeros((len(reviews), length), dtype=int)
    for number, review in enumerate(reviews):
        if len(review) != 0:
            features[number, -len(review) :] = np.array(review)[:length]
    return torch.from_numpy(features)


def made_up(seed: int) -> tuple[list[list[int]], list[int]]:
    """Return reviews shorter than, as long as and longer than what is read, one without words."""
    rng = np.random.default_rng(seed)
    lengths = [0, 1, 11, 12, 13, *rng.integers(2, 20, ROWS - 5)]
    reviews = [rng.integers(1, WORDS, length).tolist() for length in lengths]
    return reviews, rng.integers(0, 2, ROWS).tolist()


def source(reviews: list[list[int]], labels: list[int], config: PipelineConfig) -> BatchSource:
    return BatchSource(
        encoded(reviews, labels),
        padding=config.train.padding,
        max_length=config.tensors.max_length,
        device=torch.device("cpu"),
    )


def pair(*overrides: str) -> tuple[PipelineConfig, Notebook, SentimentLSTM]:
    """Return the preset made small, and both models with the same weights."""
    config = load_config("article", [*SMALL, *overrides])
    torch.manual_seed(5)
    notebook = Notebook(WORDS, config.train.model.embedding_size, config.train.model.hidden_size)
    ours = SentimentLSTM(config.train.model, WORDS)
    ours.load_state_dict(notebook.weights())
    return config, notebook, ours


def test_the_forward_pass_is_the_notebooks() -> None:
    config, notebook, ours = pair()
    reviews, labels = made_up(1)
    batch = source(reviews, labels, config).take(np.arange(ROWS))
    padded = pad([review[:12] for review in reviews], 12)
    assert torch.equal(batch.ids, padded)
    expected = notebook.eval()(padded)
    found = torch.sigmoid(ours.eval()(batch.ids, batch.lengths))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("clip_norm", [5, 0.02])  # so small a model's gradient never reaches 5
def test_the_first_steps_are_the_notebooks(tmp_path: Path, clip_norm: float) -> None:
    config, notebook, ours = pair(*NO_DROPOUT, f"train.clip_norm={clip_norm}")
    reviews, labels = made_up(2)
    learning = source(reviews, labels, config)

    after: list[dict[str, Tensor]] = []

    def note(*_: Any, **__: Any) -> None:
        state = ours.state_dict() | {"scale": torch.ones(1)}
        after.append({name: value.clone() for name, value in state.items()})

    training = Trainer(ours, config.train, learning, learning, np.array(labels, np.uint8))
    training.run(Checkpoints(tmp_path, keep=1), note)

    notebook.without_dropout().train()
    criterion = nn.BCELoss()
    optimizer = torch.optim.Adam(notebook.parameters(), lr=0.005)
    order = [*training_order(learning.lengths, 8, seed=config.train.seed, epoch=0, by_length=False)]
    assert len(order) == len(after) == STEPS
    for places, ours_after, row in zip(order, after, training.history, strict=True):
        output = notebook(pad([reviews[place][:12] for place in places], 12))
        loss = criterion(output, torch.tensor([float(labels[place]) for place in places]))
        notebook.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(notebook.parameters(), clip_norm)
        optimizer.step()
        assert row["train_loss"] == pytest.approx(loss.item(), abs=1e-6)
        expected = {name: value.detach() for name, value in notebook.weights().items()}
        torch.testing.assert_close(ours_after, expected, rtol=0, atol=1e-5)


def test_dropout_is_where_the_notebook_has_it() -> None:
    """Both draw other masks from one seed, so places and shares are compared."""
    config, _, ours = pair()
    dropped: list[tuple[float, tuple[int, ...]]] = []

    def note(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        assert isinstance(module, nn.Dropout)
        dropped.append((module.p, tuple(inputs[0].shape)))

    for module in ours.modules():
        if isinstance(module, nn.Dropout):
            module.register_forward_hook(note)
    batch = source(*made_up(3), config).take(np.arange(ROWS))
    ours.train()(batch.ids, batch.lengths)
    assert [each for each in dropped if each[0]] == [(0.5, (ROWS, 12, 5)), (0.2, (ROWS, 5))]


def test_the_full_size_is_the_notebooks() -> None:
    config = load_config("article")
    size = 225_964
    with torch.device("meta"):
        expected = Notebook(size).weights()
        found = SentimentLSTM(config.train.model, size).state_dict()
    assert {n: v.shape for n, v in found.items()} == {n: v.shape for n, v in expected.items()}


def test_the_numbers_are_the_notebooks() -> None:
    config = load_config("article")
    train = config.train
    assert (config.ingest.train_limit, config.ingest.test_limit) == (800_000, 200_000)
    assert (config.vocabulary.min_count, config.vocabulary.max_size) == (2, None)
    assert config.tensors.max_length == 200
    assert (train.batch_size, train.epochs, train.validate_every) == (400, 2, 1000)
    assert (train.optimizer, train.learning_rate, train.clip_norm) == ("adam", 0.005, 5)
    assert (train.schedule, train.padding, train.sentences) == ("constant", "left", 0)
    model = train.model
    assert (model.word_dropout, model.embedding_dropout) == (0, 0)
