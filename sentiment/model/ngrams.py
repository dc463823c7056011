"""The wide part: a linear model over the n-grams of a review.

A word has a weight of its own, a longer n-gram shares one with those of its hash. A review is the
set of its n-grams, each with its inverse document frequency, scaled to a length just below 1 (as in
the TF-IDF linear models that are hard to beat on long reviews). A short text stays well below:
what its few n-grams say is little evidence.
"""

import torch
from torch import Tensor, nn

from sentiment.model.batches import BatchSource, scoring_order
from sentiment.model.config import NgramsConfig
from sentiment.text.vocabulary import PAD

MULTIPLIER, PRIME = 1_000_003, 2**31 - 1  # a polynomial hash that stays inside int64
BATCH_SIZE = 512


class Ngrams(nn.Module):
    """Gives the logit of "positive" from the set of n-grams; each weight starts at 0."""

    idf: Tensor  # float (features,): 0 for n-grams that are too rare to count

    def __init__(self, config: NgramsConfig, vocabulary_size: int) -> None:
        super().__init__()
        self.config = config
        self._words = vocabulary_size
        features = vocabulary_size + (config.buckets if config.longest > 1 else 0)
        self.weight = nn.Parameter(torch.zeros(features, 1))
        self.bias = nn.Parameter(torch.zeros(1))
        self.register_buffer("idf", torch.ones(features))

    def forward(self, ids: Tensor) -> Tensor:
        """Map ids of shape (batch, steps), padded anywhere, to logits of shape (batch,)."""
        features, present = self.features(ids)
        values = self.idf[features].masked_fill(~present, 0.0)
        length = (values.square().sum(dim=1) + self.config.prior).sqrt()
        weights = nn.functional.embedding(features, self.weight).squeeze(-1)
        return (weights * values).sum(dim=1) / length + self.bias

    def features(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return the reviews' n-grams, int64 (batch, n-grams), and which of them count.

        Those that repeat an n-gram, and those that would hold padding, do not.
        """
        features = torch.cat(self.by_place(ids), dim=1).sort(dim=1).values
        fresh = torch.ones_like(features[:, :1], dtype=torch.bool)
        fresh = torch.cat([fresh, features[:, 1:] != features[:, :-1]], dim=1)
        return features, fresh & (features != PAD)

    def by_place(self, ids: Tensor) -> list[Tensor]:
        """Return the n-grams by their first word, int64 (batch, steps - n + 1) for each n from 1.

        Those that would hold padding are PAD.
        """
        found, inside, code = [ids], ids != PAD, ids
        for n in range(2, self.config.longest + 1):
            code = (code[:, :-1] * MULTIPLIER + ids[:, n - 1 :]) % PRIME
            inside = inside[:, :-1] & (ids[:, n - 1 :] != PAD)
            found.append((self._words + code % self.config.buckets).masked_fill(~inside, PAD))
        return found

    def fit_idf(self, source: BatchSource) -> None:
        """Learn the inverse document frequencies, which are those of scikit-learn.

        ln((1 + reviews) / (1 + reviews with the n-gram)) + 1
        """
        counts = torch.zeros_like(self.idf, dtype=torch.int64)
        for places in scoring_order(source.lengths, BATCH_SIZE):
            features, present = self.features(source.take(places).ids)
            counts += torch.bincount(features[present], minlength=len(counts))
        idf = torch.log((1 + len(source)) / (1 + counts.double())) + 1
        self.idf.copy_(idf.masked_fill(counts < self.config.min_count, 0.0))
