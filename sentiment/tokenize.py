"""Stage ``tokenize``: a shard of reviews becomes a shard of tokens and a table of word counts."""

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sentiment.cleaning import URL, URL_MARK, TokenizeConfig, clean
from sentiment.progress import Progress, silent
from sentiment.words import word_tokenize

TOKENS = pa.schema([("row", pa.int64()), ("label", pa.int8()), ("tokens", pa.list_(pa.string()))])
COUNTS = pa.schema([("word", pa.string()), ("count", pa.int64()), ("first_seen", pa.int64())])
BATCH = 1_000  # reviews held as Python lists at a time


def tokenize_text(text: str, config: TokenizeConfig) -> list[str]:
    """Clean a text and cut it into words."""
    words = word_tokenize(clean(text, config))
    if config.urls == "whole" and URL_MARK in words:
        return [URL if word == URL_MARK else word for word in words]
    return words


def tokenize_shard(
    reviews: Path, *, tokenize: TokenizeConfig, out: Path, progress: Progress = silent
) -> dict[str, Any]:
    """Write ``tokens.parquet`` (row, label, tokens) and ``counts.parquet`` into ``out``.

    A row of counts is a word, how often it occurs in the shard, and the place of its first
    occurrence among the shard's tokens (from 0); rows stand in that order. Returns the numbers
    of reviews and tokens.
    """
    counts: Counter[str] = Counter()
    first_seen: dict[str, int] = {}
    rows = tokens = 0
    with (
        pq.ParquetFile(reviews) as shard,
        pq.ParquetWriter(out / "tokens.parquet", TOKENS, compression="zstd") as writer,
    ):
        total = shard.metadata.num_rows
        for batch in shard.iter_batches(batch_size=BATCH):
            texts = [tokenize_text(text, tokenize) for text in batch["text"].to_pylist()]
            for words in texts:
                counts.update(words)
                for place, word in enumerate(words, tokens):
                    first_seen.setdefault(word, place)
                tokens += len(words)
            columns = [batch["row"], batch["label"], pa.array(texts, TOKENS.field("tokens").type)]
            writer.write_table(pa.table(columns, schema=TOKENS))
            rows += len(texts)
            progress(rows, total)
    columns = [list(first_seen), [counts[word] for word in first_seen], list(first_seen.values())]
    pq.write_table(pa.table(columns, schema=COUNTS), out / "counts.parquet", compression="zstd")
    return {"rows": rows, "tokens": tokens}
