"""Sentence augmentation: the LSTM also learns from single sentences of the reviews.

In a whole review a phrase is rarely decisive, since the rest says the same. Alone with the label it
has to be understood, which is what a model needs for texts of a few words.
"""

import torch
from torch import Tensor

from sentiment.model.batches import Batch
from sentiment.text.vocabulary import PAD, UNKNOWN, Vocabulary

ENDS = (".", "!", "?", "...", ":", ";")  # a colon ends the title
NEGATIONS = (
    "not",
    "n't",
    "no",
    "never",
    "nothing",
    "nobody",
    "none",
    "neither",
    "without",
    "hardly",
)
LONGEST = 20  # words


class SentenceSampler:
    """Samples ``count`` sentences from each review of a batch that is padded on the right.

    All but the first contain a negation, if the review has such a sentence: the effect of a
    negation depends on the words around it, and each such phrase is rare.
    """

    def __init__(self, count: int, vocabulary: Vocabulary, device: torch.device) -> None:
        self._count = count
        self._ends, self._negations = (
            torch.tensor([i for i in vocabulary.encode(words) if i != UNKNOWN], device=device)
            for words in (ENDS, NEGATIONS)
        )

    def __call__(self, batch: Batch) -> Batch:
        """Return the sentences with their reviews' labels, padded on the right to 20 words.

        They are chosen with PyTorch's random numbers. Half of them lose their final mark, as people
        leave it out when they type a few words. Longer sentences are cut.
        """
        ids, lengths = batch.ids.repeat(self._count, 1), batch.lengths.repeat(self._count)
        step = torch.arange(ids.shape[1], device=ids.device)
        inside = step < lengths[:, None]
        ends = torch.isin(ids, self._ends) & inside
        begins = inside & torch.cat([torch.ones_like(ends[:, :1]), ends[:, :-1]], dim=1)
        merit = 1 + torch.rand(ids.shape, device=ids.device)
        merit[len(batch.ids) :] += self._negates(ids, begins)[len(batch.ids) :]
        start = merit.masked_fill(~begins, 0).argmax(dim=1)
        last = (ends | (step == lengths[:, None] - 1)) & (step >= start[:, None])
        end = last.int().argmax(dim=1)
        marked = ends.gather(1, end[:, None]).squeeze(1)
        bare = marked & (torch.rand(end.shape, device=ids.device) < 0.5)
        size = (end - start + 1 - bare.long()).clamp(min=1, max=LONGEST)
        return Batch(_runs(ids, start, size), size, batch.labels.repeat(self._count))

    def _negates(self, ids: Tensor, begins: Tensor) -> Tensor:
        """Return 1 at all positions of sentences with a negation, else 0."""
        sentence = begins.long().cumsum(dim=1) - 1
        found = torch.isin(ids, self._negations).float()
        return (
            torch.zeros_like(found).scatter_reduce(1, sentence, found, "amax").gather(1, sentence)
        )


def _runs(ids: Tensor, start: Tensor, size: Tensor) -> Tensor:
    """Return the runs of ``size`` ids from ``start``, padded; int64 (reviews, LONGEST)."""
    step = torch.arange(LONGEST, device=ids.device)
    place = (start[:, None] + step).clamp(max=ids.shape[1] - 1)
    return ids.gather(1, place).masked_fill(step >= size[:, None], PAD)
