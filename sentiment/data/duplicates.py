"""Stage ``duplicates``: reviews that occur more than once, above all in training and in test."""

import json
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from sentiment.progress import Progress, silent

BATCH = 10_000  # reviews held as Python texts at a time

Hashes = npt.NDArray[np.uint64]


def count_duplicates(
    train: Sequence[Path],
    validation: Sequence[Path],
    test: Sequence[Path],
    *,
    out: Path,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Compare the texts of all shards of reviews and write ``duplicates.json``; return the same.

    Texts are equal when they differ in case and white space at most. Each split has its ``rows``;
    ``repeated``, those that repeat an earlier one of the split; and ``also_in``, those whose text
    stands in another split as well, by that split's name. Needs 8 bytes of memory a review.
    """
    hashes: dict[str, Hashes] = {}
    for name, shards in (("train", train), ("validation", validation), ("test", test)):
        hashes[name] = np.fromiter(_hashes(shards), np.uint64)
        progress(sum(map(len, hashes.values())))
    counts = {
        name: {
            "rows": len(own),
            "repeated": len(own) - len(np.unique(own)),
            "also_in": {
                other: int(np.isin(own, theirs).sum())
                for other, theirs in hashes.items()
                if other != name
            },
        }
        for name, own in hashes.items()
    }
    (out / "duplicates.json").write_text(json.dumps(counts, indent=2) + "\n", encoding="utf-8")
    return counts


def _hashes(shards: Sequence[Path]) -> Iterator[int]:
    for shard in shards:
        with pq.ParquetFile(shard) as file:
            for batch in file.iter_batches(BATCH, columns=["text"]):
                for text in batch["text"].to_pylist():
                    yield text_hash(text)


def text_hash(text: str) -> int:
    """Return 64 bits that equal texts share; two of 4 million others meet with p = 4e-7."""
    same = " ".join(text.lower().split()).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(same, digest_size=8).digest(), "little")
