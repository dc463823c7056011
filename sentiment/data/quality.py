"""What a person should hear about the reviews: another language than English, many duplicates."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

# Of the words of English reviews a quarter or more are these; of other European languages, some of
# which have a few of them too, hardly a twentieth.
ENGLISH = [
    "the",
    "and",
    "a",
    "to",
    "of",
    "it",
    "is",
    "in",
    "this",
    "i",
    "for",
    "that",
    "was",
    "with",
]
LEAST_ENGLISH = 0.1
ENOUGH = 2_000  # words, for a share of them to say something

MOST_UNKNOWN = 0.2  # share of the words of a split
MOST_REPEATED = 0.1  # share of the reviews of a split


def language_warning(vocabulary: Path) -> str | None:
    """Return a warning if the training reviews hardly use the commonest English words."""
    table = pq.read_table(vocabulary, columns=["word", "count"])
    words = pc.sum(table["count"]).as_py()
    common = table.filter(pc.field("word").isin(ENGLISH))
    share = (pc.sum(common["count"]).as_py() or 0) / max(1, words)
    if words < ENOUGH or share >= LEAST_ENGLISH:
        return None
    return (
        f"Only {share:.1%} of the training reviews' words are common English ones (the, and, it "
        "...). Reviews are split into words by the rules of English, so expect less of another "
        "language."
    )


def unknown_warnings(splits: list[Mapping[str, Any]]) -> list[str]:
    """Return a warning for each split with many unknown words; splits as in ``data_quality``."""
    return [
        f"{split['unknown_share']:.1%} of the words of the {_name(split['name'])} reviews are not "
        "in the vocabulary. Too few training reviews for vocabulary.min_count, or a language that "
        "is not that of the others, or does not put spaces between words?"
        for split in splits
        if split["unknown_share"] > MOST_UNKNOWN and split["tokens"] >= ENOUGH
    ]


def repeated_warnings(duplicates: Mapping[str, Any]) -> list[str]:
    """Return a warning for each split with many duplicates, as ``count_duplicates`` has them."""
    return [
        f"{counts['repeated']:,} of {counts['rows']:,} {_name(split)} reviews "
        f"({counts['repeated'] / counts['rows']:.1%}) are duplicates of an earlier one"
        + (", so the accuracy is less certain than its interval" if split == "test" else "")
        + ". ingest.duplicates=drop leaves out duplicates within a file."
        for split, counts in duplicates.items()
        if counts["repeated"] > MOST_REPEATED * counts["rows"]
    ]


def _name(split: str) -> str:
    return "training" if split == "train" else split
