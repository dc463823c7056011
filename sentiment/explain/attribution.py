"""How much each word of a review pulls its logit, towards positive (above 0) or negative."""

import torch
from torch import Tensor

from sentiment.model.lstm import SentimentLSTM
from sentiment.model.ngrams import Ngrams
from sentiment.text.vocabulary import PAD


def word_pulls(model: SentimentLSTM, ids: Tensor, lengths: Tensor) -> Tensor:
    """Return the words' pulls in logits, float of shape (batch, steps); padding pulls nothing.

    ``ids`` (batch, steps) and ``lengths`` (batch,) are what the model reads; it must not be in
    training mode. Of the n-grams' logit the pulls are exact parts, of the LSTM's an approximation.
    """
    pulls = gradient_times_input(model, ids, lengths) * model.scale[0]
    if model.ngrams is not None:
        pulls += ngram_pulls(model.ngrams, ids) * model.scale[1]
    return pulls.masked_fill(ids == PAD, 0.0)


def gradient_times_input(model: SentimentLSTM, ids: Tensor, lengths: Tensor) -> Tensor:
    """Return how fast the LSTM's logit grows as each word's embedding is made longer.

    One pass back through the model: true for small changes, a first approximation for the loss of
    a whole word.
    """
    # cuDNN's LSTM goes back through training passes only.
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        words = model.embedding(ids).detach().requires_grad_()
        (slopes,) = torch.autograd.grad(model.read(words, lengths).sum(), words)
    pulls: Tensor = (slopes * words.detach()).sum(dim=-1)
    return pulls


@torch.no_grad()
def ngram_pulls(ngrams: Ngrams, ids: Tensor) -> Tensor:
    """Share out the logit of the n-grams, less its bias, among the words of each review.

    An n-gram's share goes in equal parts to the places where it stands, and there to its words.
    """
    pulls = torch.zeros(ids.shape, device=ids.device)
    for row, words in enumerate(ids):
        by_length = ngrams.by_place(words[None])
        every, place, times = torch.unique(
            torch.cat(by_length, dim=1)[0], return_inverse=True, return_counts=True
        )
        values = ngrams.idf[every].masked_fill(every == PAD, 0.0)
        length = (values.square().sum() + ngrams.config.norm_smoothing).sqrt()
        shares = (ngrams.weight[every, 0] * values / length / times)[place]
        sizes = [found.shape[1] for found in by_length]
        for n, share in enumerate(torch.split(shares, sizes), start=1):
            for offset in range(n):
                pulls[row, offset : offset + len(share)] += share / n
    return pulls
