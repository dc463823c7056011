"""Excerpts of reviews, for the LSTM to learn short texts from.

In a whole review a phrase is rarely what decides: the rest says the same. Alone with the label it
has to be understood, which is what a model needs for texts of a few words.
"""

import torch

from sentiment.batches import Batch
from sentiment.vocabulary import PAD

SHORTEST, LONGEST = 4, 20  # words


def cut_excerpts(batch: Batch, count: int) -> Batch:
    """Return ``count`` excerpts of each review of a batch that is padded on the right.

    An excerpt is a run of 4 to 20 ids (or the whole of a shorter review), anywhere in the review,
    and has its label. PyTorch's random numbers choose them.
    """
    device = batch.ids.device
    lengths = batch.lengths.repeat(count)
    size = torch.randint(SHORTEST, LONGEST + 1, lengths.shape, device=device).minimum(lengths)
    start = (torch.rand(lengths.shape, device=device) * (lengths - size + 1)).long()
    step = torch.arange(LONGEST, device=device)
    place = (start[:, None] + step).clamp(max=batch.ids.shape[1] - 1)
    ids = batch.ids.repeat(count, 1).gather(1, place)
    return Batch(ids.masked_fill(step >= size[:, None], PAD), size, batch.labels.repeat(count))
