"""Stage ``vocabulary``: the words that have an id, the most frequent first."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import Field

from sentiment.errors import DataError
from sentiment.progress import Progress, silent
from sentiment.settings import Settings

PAD, UNKNOWN = 0, 1
SPECIAL = ("_PAD", "_UNK")
FEW = 1_000  # words, such as those of a text: worth a Python dict, made once for a vocabulary
VOCABULARY = pa.schema([("word", pa.string()), ("count", pa.int64())])


class VocabularyConfig(Settings):
    """Which words are kept."""

    min_count: int = Field(2, ge=1, description="Rarer words become unknown words.")
    max_size: int | None = Field(
        None, ge=len(SPECIAL) + 1, description="Maximum entries, including _PAD and _UNK."
    )


class Vocabulary:
    """Words and their ids: 0 ``_PAD``, 1 ``_UNK``, then by falling count."""

    def __init__(self, words: pa.Array) -> None:
        """Take the word of every id; raise DataError if the first two are not ``SPECIAL``."""
        if words.slice(0, len(SPECIAL)).to_pylist() != list(SPECIAL):
            raise DataError(f"A vocabulary must start with {' and '.join(SPECIAL)}.")
        self._words = words
        # A review may contain the text "_PAD", which is then an unknown word like any other.
        self._known = words.slice(len(SPECIAL))

    @classmethod
    def load(cls, path: Path) -> "Vocabulary":
        """Read a ``vocabulary.parquet``, whose row numbers are the ids."""
        return cls(pq.read_table(path, columns=["word"])["word"].combine_chunks())

    def __len__(self) -> int:
        return len(self._words)

    def word(self, number: int) -> str:
        """Return the word with this id."""
        return str(self._words[number].as_py())

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self._known.to_pylist(), len(SPECIAL))}

    def encode(self, words: pa.Array | pa.ChunkedArray | Sequence[str]) -> npt.NDArray[np.int32]:
        """Return the ids of words, int32 of shape (number of words,); each is looked up once."""
        ids: npt.NDArray[np.int32]
        if isinstance(words, pa.DictionaryArray):
            ids = self.encode(words.dictionary)[words.indices.to_numpy()]
            return ids
        if len(words) <= FEW:
            if isinstance(words, pa.Array | pa.ChunkedArray):
                words = words.to_pylist()
            numbers = self._numbers
            return np.array([numbers.get(word, UNKNOWN) for word in words], dtype=np.int32)
        if not isinstance(words, pa.Array):
            words = pa.array(words, pa.string())
        # index_in hashes its value set: the smaller side, where hashing words takes two passes.
        if len(words) < len(self._known) // 2:
            coded = words.dictionary_encode()
            ids = self._ids_of_distinct(coded.dictionary)[coded.indices.to_numpy()]
            return ids
        places = pc.index_in(words, value_set=self._known)
        return np.asarray(pc.fill_null(pc.add(places, len(SPECIAL)), UNKNOWN), dtype=np.int32)

    def _ids_of_distinct(self, words: pa.Array) -> npt.NDArray[np.int32]:
        """Return the ids of words that are all different, by finding each known word among them."""
        ids = np.full(len(words) + 1, UNKNOWN, np.int32)  # the last is where all others go
        places = pc.fill_null(pc.index_in(self._known, value_set=words), len(words))
        ids[places.to_numpy()] = np.arange(len(SPECIAL), len(self), dtype=np.int32)
        return ids[:-1]


def merge_counts(tables: Iterable[pa.Table]) -> pa.Table:
    """Merge shards' counts (word, count, first_seen), given in the shards' order.

    The result has one row per word, ordered by descending count and then by first occurrence over
    all shards. Memory grows with the number of different words, not of shards.
    """
    merged: pa.Table | None = None
    pending: list[pa.Table] = []
    rows = start = 0
    for table in tables:
        place = pc.add(table["first_seen"], start)
        start += pc.sum(table["count"]).as_py() or 0
        pending.append(table.set_column(2, "first_seen", place))
        rows += table.num_rows
        # Summing only once the pending rows equal the merged ones keeps the total work linear.
        if merged is None or rows >= merged.num_rows:
            merged, pending, rows = _sum_words([merged, *pending]), [], 0
    if merged is None:
        raise DataError("There are no word counts to build a vocabulary from.")
    if pending:
        merged = _sum_words([merged, *pending])
    return merged.sort_by([("count", "descending"), ("first_seen", "ascending")])


def _sum_words(tables: Sequence[pa.Table | None]) -> pa.Table:
    together = pa.concat_tables([table for table in tables if table is not None])
    groups = together.group_by("word", use_threads=False)
    summed = groups.aggregate([("count", "sum"), ("first_seen", "min")])
    return summed.select(["word", "count_sum", "first_seen_min"]).rename_columns(
        ["word", "count", "first_seen"]
    )


def build_vocabulary(
    counts: Sequence[Path],
    *,
    vocabulary: VocabularyConfig,
    out: Path,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write ``vocabulary.parquet`` (word, count; the row number is the id) into ``out``.

    ``counts`` are the training shards' counts, in the shards' order. Returns the number of
    entries, of different words seen, and the share of training tokens that are known words.
    """

    def tables() -> Iterable[pa.Table]:
        for number, path in enumerate(counts, 1):
            yield pq.read_table(path)
            progress(number, len(counts))

    merged = merge_counts(tables())
    ordinary = ~pc.field("word").isin(list(SPECIAL))
    kept = merged.filter((pc.field("count") >= vocabulary.min_count) & ordinary)
    if vocabulary.max_size is not None:
        kept = kept.slice(0, vocabulary.max_size - len(SPECIAL))
    if not kept.num_rows:
        raise DataError(
            f"No word occurs {vocabulary.min_count} times in the training reviews. "
            "Lower vocabulary.min_count or use more reviews."
        )
    tokens = pc.sum(merged["count"]).as_py()
    known = pc.sum(kept["count"]).as_py()
    head = pa.table([list(SPECIAL), [0, tokens - known]], schema=VOCABULARY)
    table = pa.concat_tables([head, kept.select(["word", "count"]).cast(VOCABULARY)])
    pq.write_table(table.combine_chunks(), out / "vocabulary.parquet", compression="zstd")
    return {"size": table.num_rows, "words_seen": merged.num_rows, "known_share": known / tokens}
