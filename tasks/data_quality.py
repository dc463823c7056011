"""Statistics of a run's reviews, from what the stages counted."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from sentiment.data.ingest import SPLITS
from tasks.manifest import Manifest
from tasks.stage import shards_of, split_of

FILE = ("read", "ignored", "repeated", "rejected")
PERCENTILES = (5, 25, 50, 75, 95, 99)


def data_quality(ingested: Sequence[Manifest], encoded: Sequence[Manifest]) -> dict[str, Any]:
    """Return statistics of the input files and of each split, as a JSON object.

    ``files`` has for each input file its ``name``, the lines ``read``, those ``ignored`` for their
    label, those dropped as ``repeated`` and the ``rejected`` ones by reason. ``splits`` has for
    each split its ``name``, ``rows``, ``positive_share``, ``tokens``, ``unknown_share`` (of the
    tokens) and ``lengths``: tokens of a review before cutting, at each of ``PERCENTILES`` ("50%")
    and the most ("max").
    """
    counts = {split: _Counts() for split in SPLITS}
    for (_, shard), tensors in zip(shards_of(ingested), encoded, strict=True):
        counts[split_of(shard)].add(tensors.stats)
    positives: Counter[str] = Counter()
    for manifest in ingested:
        for split, classes in manifest.stats["rows"].items():
            positives[split] += classes["positive"]
    return {
        "files": [{"name": m.label, **{key: m.stats[key] for key in FILE}} for m in ingested],
        "splits": [
            {"name": split, **each.figures(positives[split])}
            for split, each in counts.items()
            if each.rows
        ],
    }


class _Counts:
    """Sums over the shards of one split."""

    def __init__(self) -> None:
        self.rows = self.tokens = self.unknown = 0
        self.lengths: Counter[int] = Counter()

    def add(self, stats: Mapping[str, Any]) -> None:
        self.rows += stats["rows"]
        self.tokens += stats["tokens"]
        self.unknown += stats["unknown"]
        self.lengths.update({int(length): n for length, n in stats["lengths"].items()})

    def figures(self, positives: int) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "positive_share": positives / self.rows,
            "tokens": self.tokens,
            "unknown_share": self.unknown / max(1, self.tokens),
            "lengths": {
                **{f"{percent}%": percentile(self.lengths, percent) for percent in PERCENTILES},
                "max": max(self.lengths),
            },
        }


def percentile(counts: Mapping[int, int], percent: int) -> int:
    """Return the smallest value that at least this percentage of all values do not exceed.

    ``counts`` maps each value to how often it occurs; it must not be empty.
    """
    total = sum(counts.values())
    values = sorted(counts)
    reached = accumulate(counts[value] for value in values)
    return next(
        value for value, seen in zip(values, reached, strict=True) if 100 * seen >= percent * total
    )
