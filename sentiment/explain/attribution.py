"""Attribution of a review's logit to its words: above 0 towards positive, below 0 negative."""

import torch
from torch import Tensor

from sentiment.model.lstm import SentimentLSTM
from sentiment.model.ngrams import Ngrams
from sentiment.text.vocabulary import PAD


def word_attributions(model: SentimentLSTM, ids: Tensor, lengths: Tensor) -> Tensor:
    """Return the words' attributions in logits, float of shape (batch, steps); 0 for padding.

    ``ids`` (batch, steps) and ``lengths`` (batch,) are the inputs of the model, which must not be
    in training mode. The n-grams' logit is attributed exactly, the LSTM's approximately.
    """
    attributions = torch.zeros(ids.shape, device=ids.device)
    if model.config.lstm:
        attributions += gradient_times_input(model, ids, lengths) * model.scale[0]
    if model.ngrams is not None:
        attributions += ngram_attributions(model.ngrams, ids) * model.scale[-1]
    return attributions.masked_fill(ids == PAD, 0.0)


def gradient_times_input(model: SentimentLSTM, ids: Tensor, lengths: Tensor) -> Tensor:
    """Return the slope of the LSTM's logit as each word's embedding is scaled up.

    One backward pass: exact for small changes, a first approximation for removing a word.
    """
    # cuDNN's LSTM runs backward in training mode only.
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        words = model.embedding(ids).detach().requires_grad_()
        (slopes,) = torch.autograd.grad(model.read(words, lengths).sum(), words)
    attributions: Tensor = (slopes * words.detach()).sum(dim=-1)
    return attributions


@torch.no_grad()
def ngram_attributions(ngrams: Ngrams, ids: Tensor) -> Tensor:
    """Attribute the n-grams' logit, less its bias, to the words of each review.

    An n-gram's share is divided equally among its occurrences, and there among its words.
    """
    attributions = torch.zeros(ids.shape, device=ids.device)
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
                attributions[row, offset : offset + len(share)] += share / n
    return attributions
