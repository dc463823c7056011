"""Stage ``duplicates``: reviews that occur more than once, above all in both training and test."""

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
    """Compare the texts of all review shards; write ``duplicates.json`` and return its content.

    Texts are compared without regard to case and white space. For each split: ``rows``;
    ``repeated``, the rows that repeat an earlier one of the split; ``also_in``, the rows whose text
    also occurs in another split, by that split's name. Needs 8 bytes of memory per review.
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
    """Return a 64-bit hash; any two of 4 million different texts collide with p = 4e-7."""
    same = " ".join(text.lower().split()).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(same, digest_size=8).digest(), "little")
