"""The linear n-gram branch: a linear model over the set of a review's n-grams.

Each word has its own weight; longer n-grams share the weight of their hash bucket. A review is the
set of its n-grams weighted by inverse document frequency, scaled to a norm just below 1 (as in the
TF-IDF linear models that are hard to beat on long reviews). A short text's norm stays well below 1:
its few n-grams are little evidence.
"""

import torch
from torch import Tensor, nn

from sentiment.model.batches import BatchSource, scoring_order
from sentiment.model.config import NgramsConfig
from sentiment.text.vocabulary import PAD

MULTIPLIER, PRIME = 1_000_003, 2**31 - 1  # a polynomial hash that stays inside int64
BATCH_SIZE = 512


class Ngrams(nn.Module):
    """Maps the set of a review's n-grams to the logit of "positive"; weights start at 0."""

    idf: Tensor  # float (features,): value of each n-gram; 0 for those too rare to count

    def __init__(self, config: NgramsConfig, vocabulary_size: int) -> None:
        super().__init__()
        self.config = config
        self._words = vocabulary_size
        features = vocabulary_size + (config.buckets if config.max_n > 1 else 0)
        self.weight = nn.Parameter(torch.zeros(features, 1))
        self.bias = nn.Parameter(torch.zeros(1))
        self.register_buffer("idf", torch.ones(features))

    def forward(self, ids: Tensor) -> Tensor:
        """Map ids of shape (batch, steps), padded anywhere, to logits of shape (batch,)."""
        features, present = self.features(ids)
        values = self.idf.index_select(0, features.flatten()).view_as(features) * present
        length = (values.square().sum(dim=1) + self.config.norm_smoothing).sqrt()
        weights = nn.functional.embedding(features, self.weight).squeeze(-1)
        return (weights * values).sum(dim=1) / length + self.bias

    def features(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return the reviews' n-grams, int64 (batch, n-grams), and a mask of those that count.

        Repeated n-grams and those that contain padding do not count.
        """
        features = in_order(torch.cat(self.by_place(ids), dim=1))
        fresh = torch.ones_like(features[:, :1], dtype=torch.bool)
        fresh = torch.cat([fresh, features[:, 1:] != features[:, :-1]], dim=1)
        return features, fresh & (features != PAD)

    def by_place(self, ids: Tensor) -> list[Tensor]:
        """Return the n-grams by their first word, int64 (batch, steps - n + 1) for each n from 1.

        Those that contain padding are PAD.
        """
        found, inside, code = [ids], ids != PAD, ids
        for n in range(2, self.config.max_n + 1):
            code = (code[:, :-1] * MULTIPLIER + ids[:, n - 1 :]) % PRIME
            inside = inside[:, :-1] & (ids[:, n - 1 :] != PAD)
            found.append((self._words + code % self.config.buckets).masked_fill(~inside, PAD))
        return found

    def fit_idf(self, source: BatchSource) -> None:
        """Fit the n-grams' values: inverse document frequencies, smoothed as in scikit-learn.

        ln((1 + reviews) / (1 + reviews with the n-gram)) + 1. With ``ratio_smoothing`` each is
        multiplied by its ``uneven_use``.
        """
        by_label = torch.zeros((2, *self.idf.shape), dtype=torch.int64, device=self.idf.device)
        for places in scoring_order(source.lengths, BATCH_SIZE):
            batch = source.take(places)
            features, present = self.features(batch.ids)
            for label, counts in enumerate(by_label):
                found = features[present & (batch.labels == label)[:, None]]
                counts.index_add_(0, found, torch.ones_like(found))
        counts = by_label.sum(dim=0)
        rare = counts < self.config.min_count
        values = torch.log((1 + len(source)) / (1 + counts.double())) + 1
        if self.config.ratio_smoothing is not None:
            values *= uneven_use(by_label.masked_fill(rare, 0), self.config.ratio_smoothing)
        self.idf.copy_(values.masked_fill(rare, 0.0))


def in_order(features: Tensor) -> Tensor:
    """Sort each row of int64 (batch, n-grams)."""
    if features.device.type != "cpu" or torch.onnx.is_in_onnx_export():
        return features.sort(dim=1).values
    narrow = features.int().numpy()  # which NumPy sorts in a tenth of PyTorch's time
    narrow.sort(axis=1)
    return torch.from_numpy(narrow).long()


def uneven_use(counts: Tensor, smoothing: float) -> Tensor:
    """Return the square root of the size of each n-gram's log-count ratio, shape (features,).

    ``counts`` (2, features) are each label's reviews with the n-gram. Twice ``smoothing`` is shared
    out to them as the labels share all n-grams, so that one about which little is known counts as
    evenly used. Over all n-grams of all reviews the mean is 1. After Wang and Manning, "Baselines
    and Bigrams" (2012).
    """
    totals = counts.sum(dim=1, keepdim=True).clamp(min=1).double()
    negative, positive = counts / totals + 2 * smoothing / totals.sum()
    sizes, counted = torch.log(positive / negative).abs().sqrt(), counts.sum(dim=0)
    return sizes * counted.sum() / (sizes * counted).sum().clamp(min=1e-9)
