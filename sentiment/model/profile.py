"""What a set of reviews is like, counted so that two sets can be compared."""

from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from sentiment.settings import Settings

LONGEST = 1_000  # words; longer reviews count as this long


class Profile(Settings):
    """Counts of a set of reviews; profiles of several sets add up.

    ``positive`` counts labels in a training set, predictions in scored reviews. ``lengths[n]`` is
    the number of reviews with ``n`` words before cutting, the last those with ``LONGEST`` or more.
    """

    positive: int = Field(0, ge=0)
    words: int = Field(0, ge=0)
    unknown: int = Field(0, ge=0)
    lengths: list[int] = Field([], max_length=LONGEST + 1)

    @classmethod
    def of(
        cls,
        positive: npt.NDArray[Any],
        words: npt.NDArray[np.int32],
        unknown: npt.NDArray[np.int32],
    ) -> "Profile":
        """Count reviews, given for each whether it is positive, its words and its unknown words."""
        return cls(
            positive=int(np.count_nonzero(positive)),
            words=int(words.sum(dtype=np.int64)),
            unknown=int(unknown.sum(dtype=np.int64)),
            lengths=np.bincount(np.minimum(words, LONGEST)).tolist(),
        )

    def __add__(self, other: "Profile") -> "Profile":
        lengths = np.zeros(max(len(self.lengths), len(other.lengths)), np.int64)
        for each in (self.lengths, other.lengths):
            lengths[: len(each)] += np.array(each, np.int64)
        return Profile(
            positive=self.positive + other.positive,
            words=self.words + other.words,
            unknown=self.unknown + other.unknown,
            lengths=lengths.tolist(),
        )

    @property
    def reviews(self) -> int:
        return sum(self.lengths)

    @property
    def positive_share(self) -> float:
        return self.positive / max(1, self.reviews)

    @property
    def unknown_share(self) -> float:
        return self.unknown / max(1, self.words)

    def quantile(self, share: float) -> int:
        """Return the smallest length that at least this share of the reviews do not exceed."""
        reached = np.cumsum(self.lengths)
        return int(np.searchsorted(reached, share * reached[-1]))
