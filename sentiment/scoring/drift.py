"""How far scored reviews have drifted from the training reviews."""

from typing import Any

import numpy as np
from pydantic import Field

from sentiment.model.profile import Profile
from sentiment.settings import Settings

BINS = 10  # of equal share among the training reviews, as far as ties allow
FLOOR = 1e-4  # smallest share of a bin, so that an empty bin keeps the index finite
QUANTILES = (0.1, 0.5, 0.9)


class DriftConfig(Settings):
    """Distances from the training reviews above which a warning is shown."""

    label_share: float = Field(
        0.1, ge=0, le=1, description="Difference of the shares of positive reviews."
    )
    length_psi: float = Field(
        0.2, ge=0, description="Population stability index of the lengths; 0.2 is customary."
    )
    unknown_share: float = Field(
        0.05, ge=0, le=1, description="Difference of the shares of unknown words."
    )


def drift(expected: Profile, actual: Profile, config: DriftConfig) -> dict[str, Any]:
    """Compare scored reviews with the training reviews; return a JSON object. Neither may be empty.

    It holds for each measure both values, their distance, the limit, and whether it is exceeded;
    ``warnings`` has a sentence for each that is.
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
    warnings = [WARNINGS[name].format(**each) for name, each in measures.items() if each["beyond"]]
    return {**measures, "warnings": warnings}


WARNINGS = {
    "label_share": "{scored:.1%} of the reviews are scored positive, but {training:.1%} of the "
    "training reviews are (limit: {limit:.1%} apart).",
    "length_psi": "The reviews' lengths differ from those in training: stability index "
    "{distance:.2f} (limit {limit:.2f}); 10th, 50th and 90th percentile: {scored[0]}, {scored[1]} "
    "and {scored[2]} words instead of {training[0]}, {training[1]} and {training[2]}.",
    "unknown_share": "{scored:.1%} of the words are unknown to the model, but {training:.1%} in "
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
    """Return the population stability index of two non-empty histograms of lengths.

    The bins end at the deciles of ``expected``; lengths outside its range have separate bins. Equal
    distributions give 0.
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
