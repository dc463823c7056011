"""The n-grams that push a model's answers most, among those of some reviews."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sentiment.model.batches import BatchSource, scoring_order
from sentiment.model.ngrams import BATCH_SIZE, Ngrams
from sentiment.text.vocabulary import PAD, UNKNOWN, Vocabulary

MOST = 8  # n-grams of each direction
LEAST_REVIEWS = 5  # that hold an n-gram: one of fewer says little
UNKNOWN_WORD = "(unknown)"


@torch.no_grad()
def strongest_ngrams(
    ngrams: Ngrams, factor: float, vocabulary: Vocabulary, source: BatchSource
) -> dict[str, list[dict[str, Any]]]:
    """Return the n-grams that push most towards ``positive`` and ``negative``, strongest first.

    Each has a ``text``, its ``weight`` and the number of ``reviews`` that hold it. The weight is
    the branch's, times the n-gram's value (``Ngrams.idf``) and the branch's ``factor``: what it
    adds to the logit before the division by the review's norm. Longer n-grams share a weight with
    others of their hash bucket; the most frequent one in these reviews stands for all.
    """
    counts = torch.zeros_like(ngrams.idf, dtype=torch.int64)
    for ids in _batches(source):
        features, present = ngrams.features(ids)
        counts += torch.bincount(features[present], minlength=len(counts))
    weights = (ngrams.weight[:, 0] * ngrams.idf * factor).masked_fill(counts < LEAST_REVIEWS, 0.0)
    values = weights.double().cpu().numpy()
    order = np.argsort(-values, kind="stable")
    positive = [at for at in order[:MOST].tolist() if values[at] > 0]
    negative = [at for at in order[: -MOST - 1 : -1].tolist() if values[at] < 0]
    texts = _texts(ngrams, vocabulary, source, {*positive, *negative})
    return {
        name: [
            {"text": texts[at], "weight": float(values[at]), "reviews": int(counts[at])}
            for at in places
        ]
        for name, places in (("positive", positive), ("negative", negative))
    }


def _texts(
    ngrams: Ngrams, vocabulary: Vocabulary, source: BatchSource, wanted: Collection[int]
) -> dict[int, str]:
    """Return the most frequent n-gram of each of these features, in words."""
    chosen = torch.zeros(len(ngrams.idf), dtype=torch.bool, device=ngrams.idf.device)
    chosen[list(wanted)] = True
    chosen[PAD] = False
    seen: dict[int, Counter[tuple[int, ...]]] = defaultdict(Counter)
    for ids in _batches(source):
        by_length = ngrams.by_place(ids)[: ids.shape[1]]  # a batch may hold single words only
        for n, features in enumerate(by_length, start=1):
            inside = chosen[features]
            rows = torch.cat([features[inside][:, None], ids.unfold(1, n, 1)[inside]], dim=1)
            different, times = torch.unique(rows, dim=0, return_counts=True)
            for (feature, *words), count in zip(different.tolist(), times.tolist(), strict=True):
                seen[feature][tuple(words)] += count
    # Of equally frequent ones the first by its ids, whatever the batches.
    names = {at: min(found, key=lambda n: (-found[n], n)) for at, found in seen.items()}
    return {
        at: " ".join(UNKNOWN_WORD if n == UNKNOWN else vocabulary.word(n) for n in words)
        for at, words in names.items()
    }


def _batches(source: BatchSource) -> Iterator[Tensor]:
    for places in scoring_order(source.lengths, BATCH_SIZE):
        yield source.take(places).ids
