"""The 2019 article's training step as in its notebook, for comparison.

Two changes, needed for it to run and to learn the same: zero states for each batch, and any batch
size.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from sentiment.model.config import ModelConfig
from sentiment.text.tensors import EncodedReviews, offsets_of

LEARNING_RATE, CLIP_NORM = 0.005, 5


class PlainLSTM(nn.Module):
    """The notebook's network: head and sigmoid on every step, of which the last is kept."""

    def __init__(self, config: ModelConfig, vocabulary_size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, config.embedding_size)
        self.lstm = nn.LSTM(
            config.embedding_size,
            config.hidden_size,
            config.layers,
            dropout=config.layer_dropout,
            batch_first=True,
        )
        self.dropout = nn.Dropout(config.head_dropout)
        self.fc = nn.Linear(config.hidden_size, 1)

    def forward(self, ids: Tensor) -> Tensor:
        """Return probabilities, shape (batch,), of ids padded on the left."""
        states, _ = self.lstm(self.embedding(ids))
        out = self.dropout(states.contiguous().view(-1, states.shape[-1]))
        out = torch.sigmoid(self.fc(out))
        return out.view(len(ids), -1)[:, -1]

    def weights(self) -> dict[str, Tensor]:
        """Return copies of the weights under ``SentimentLSTM``'s names."""
        named = {"embedding.weight": self.embedding.weight}
        for name, value in self.lstm.named_parameters():
            kind, _, depth = name.rpartition("_l")
            named[f"layers.{depth}.ahead.{kind}_l0"] = value
        named |= {"head.weight": self.fc.weight, "head.bias": self.fc.bias}
        named["scale"] = torch.ones(1)
        return {name: value.detach().clone() for name, value in named.items()}


class PlainTraining:
    """Padded int64 arrays behind a ``DataLoader``, and PyTorch's default Adam."""

    def __init__(
        self,
        model: PlainLSTM,
        reviews: EncodedReviews,
        *,
        max_length: int,
        batch_size: int,
        device: torch.device,
        shuffle: bool = True,
    ) -> None:
        self._model, self._device = model.to(device).train(), device
        dataset = TensorDataset(
            torch.from_numpy(padded(reviews, max_length)),
            torch.from_numpy(reviews.labels.astype(np.int64)),
        )
        self._loader = DataLoader(dataset, shuffle=shuffle, batch_size=batch_size)
        self._optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
        self._criterion = nn.BCELoss()

    def steps(self) -> Iterator[Tensor]:
        """Take an epoch's steps; yield each loss, still on the device."""
        for inputs, labels in self._loader:
            inputs, labels = inputs.to(self._device), labels.to(self._device)
            self._model.zero_grad()
            loss = self._criterion(self._model(inputs), labels.float())
            loss.backward()
            nn.utils.clip_grad_norm_(self._model.parameters(), CLIP_NORM)
            self._optimizer.step()
            yield loss.detach()


def encoded(ids: list[list[int]], labels: list[int]) -> EncodedReviews:
    """Return plain lists of ids, with labels 0 or 1, as the pipeline holds them."""
    lengths = np.array([len(review) for review in ids])
    return EncodedReviews(
        ids=np.concatenate([np.array(review, np.int32) for review in ids]),
        offsets=offsets_of(lengths),
        labels=np.array(labels, np.uint8),
        rows=np.arange(len(ids)),
        words=lengths.astype(np.int32),
        unknown=np.zeros(len(ids), np.int32),
    )


def padded(reviews: EncodedReviews, max_length: int) -> np.ndarray:
    """Return ids with zeros on the left, int64 of shape (reviews, max_length)."""
    features = np.zeros((len(reviews), max_length), dtype=np.int64)
    for row, (start, end) in enumerate(zip(reviews.offsets[:-1], reviews.offsets[1:], strict=True)):
        review = reviews.ids[start:end][:max_length]
        if len(review):
            features[row, -len(review) :] = review
    return features
