"""How far the reviews that a model is given have moved from those it learnt from."""

from typing import Any

import numpy as np
from pydantic import Field

from sentiment.model.profile import Profile
from sentiment.settings import Settings

BINS = 10  # of equal share among the training reviews, where reviews as short as theirs allow it
FLOOR = 1e-4  # smallest share of a bin, so that an empty one does not make the index infinite
QUANTILES = (0.1, 0.5, 0.9)


class DriftConfig(Settings):
    """The distances from the training reviews beyond which a warning is given."""

    label_share: float = Field(
        0.1, ge=0, le=1, description="Between the shares of positive reviews."
    )
    length_psi: float = Field(
        0.2, ge=0, description="Population stability index of the lengths; 0.2 is customary."
    )
    unknown_share: float = Field(
        0.05, ge=0, le=1, description="Between the shares of words outside the vocabulary."
    )


def drift(expected: Profile, actual: Profile, config: DriftConfig) -> dict[str, Any]:
    """Compare scored reviews with the training reviews, neither of them empty, as a JSON object.

    For each measure the two sides, their distance, the limit, and whether it is passed; then
    ``warnings``, a sentence for each that is.
    """
    measures: dict[str, Any] = {
        "label_share": _measure(
            expected.positive_share,
            actual.positive_share,
            abs(expected.positive_share - actual.positive_share),
            config.label_share,
        ),
        "length_psi": _measure(
            [expected.quantile(share) for share in QUANTILES],
            [actual.quantile(share) for share in QUANTILES],
            stability_index(expected.lengths, actual.lengths),
            config.length_psi,
        ),
        "unknown_share": _measure(
            expected.unknown_share,
            actual.unknown_share,
            abs(expected.unknown_share - actual.unknown_share),
            config.unknown_share,
        ),
    }
    warnings = [WORDS[name].format(**each) for name, each in measures.items() if each["beyond"]]
    return {**measures, "warnings": warnings}


WORDS = {
    "label_share": "{scored:.1%} of the reviews are scored positive, {training:.1%} of the "
    "training reviews are positive (limit: {limit:.1%} apart).",
    "length_psi": "The reviews' lengths differ from the training reviews': stability index "
    "{distance:.2f} (limit {limit:.2f}); words at the 10th, 50th and 90th percentile: {scored[0]}, "
    "{scored[1]} and {scored[2]}, there {training[0]}, {training[1]} and {training[2]}.",
    "unknown_share": "{scored:.1%} of the words are unknown to the model, {training:.1%} in "
    "training (limit: {limit:.1%} apart).",
}


def _measure(training: Any, scored: Any, distance: float, limit: float) -> dict[str, Any]:
    return {
        "training": training,
        "scored": scored,
        "distance": distance,
        "limit": limit,
        "beyond": distance > limit,
    }


def stability_index(expected: list[int], actual: list[int]) -> float:
    """Return the population stability index of two histograms of lengths, neither of them empty.

    The bins end at the deciles of ``expected``, and lengths out of its range have bins of their
    own; equal distributions give 0.
    """
    reached = np.cumsum(expected)
    deciles = np.searchsorted(reached, np.arange(1, BINS) / BINS * reached[-1])
    first, last = np.flatnonzero(expected)[[0, -1]]
    edges = np.unique([first, *(deciles + 1), last + 1])
    p, q = (
        np.maximum([part.sum() / sum(counts) for part in np.split(counts, edges)], FLOOR)
        for counts in (expected, actual)
    )
    return float(((q - p) * np.log(q / p)).sum())
