"""Short excerpts of reviews as further training reviews.

In a whole review a phrase is rarely what decides: the rest says the same. Alone with the label it
has to be understood, which is what a model needs for texts of a few words.
"""

import numpy as np

from sentiment.tensors import EncodedReviews, offsets_of

SHORTEST, LONGEST = 4, 20  # words


def add_excerpts(reviews: EncodedReviews, share: float, seed: int) -> EncodedReviews:
    """Return the reviews and after them ``share`` excerpts a review, with their review's label.

    An excerpt is a run of 4 to 20 ids (or the whole of a shorter review), anywhere in a review.
    Every review gives as many as any other, give or take one. The seed chooses them.
    """
    rng = np.random.default_rng([seed, len(reviews)])
    count = round(share * len(reviews))
    rounds = -(-count // max(1, len(reviews)))
    picked = np.concatenate(
        [np.empty(0, np.int64), *(rng.permutation(len(reviews)) for _ in range(rounds))]
    )[:count]
    available = reviews.lengths[picked]
    lengths = np.minimum(rng.integers(SHORTEST, LONGEST + 1, count), available)
    starts = reviews.offsets[picked] + rng.integers(0, available - lengths + 1)
    offsets = offsets_of(lengths)
    places = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
    return EncodedReviews(
        ids=np.concatenate([reviews.ids, reviews.ids[places]]),
        offsets=offsets_of(np.concatenate([reviews.lengths, lengths])),
        labels=np.concatenate([reviews.labels, reviews.labels[picked]]),
        rows=np.concatenate([reviews.rows, reviews.rows[picked]]),
        words=np.concatenate([reviews.words, lengths.astype(np.int32)]),
        unknown=np.concatenate([reviews.unknown, np.zeros(count, np.int32)]),
    )
