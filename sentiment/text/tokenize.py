"""Stage ``tokenize``: a shard of reviews becomes a shard of tokens and a table of word counts."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sentiment.progress import Progress, silent
from sentiment.text.cached_tokenizer import CachedTokenizer
from sentiment.text.cleaning import URL, URL_MARK, TokenizeConfig, clean
from sentiment.text.nltk_words import word_tokenize

TOKENS = pa.schema([("row", pa.int64()), ("label", pa.int8()), ("tokens", pa.list_(pa.string()))])
COUNTS = pa.schema([("word", pa.string()), ("count", pa.int64()), ("first_seen", pa.int64())])
SHORTENED = {"ca": "can", "wo": "will", "sha": "shall"}
BATCH = 1_000  # reviews held as Python lists at a time


def tokenize_texts(texts: Sequence[str], config: TokenizeConfig) -> list[list[str]]:
    """Clean texts and split each into words."""
    cleaned = [clean(text, config) for text in texts]
    if config.engine == "cached":
        tokenized = _cached_tokenizer().tokenize_all(cleaned)
    else:
        tokenized = [word_tokenize(text) for text in cleaned]
    if config.urls == "whole":
        for place, text in enumerate(cleaned):
            if URL_MARK in text:
                words = tokenized[place]
                tokenized[place] = [URL if word == URL_MARK else word for word in words]
    if config.negations == "expand":
        tokenized = [expand_negations(words) for words in tokenized]
    return tokenized


def tokenize_text(text: str, config: TokenizeConfig) -> list[str]:
    """Clean a text and split it into words."""
    return tokenize_texts([text], config)[0]


_of_thread = threading.local()


def _cached_tokenizer() -> CachedTokenizer:
    """Return this thread's tokenizer, whose cache serves all shards that the thread works on."""
    if not hasattr(_of_thread, "tokenizer"):
        _of_thread.tokenizer = CachedTokenizer()
    tokenizer: CachedTokenizer = _of_thread.tokenizer
    return tokenizer


def expand_negations(words: list[str]) -> list[str]:
    """Replace each ``n't`` by ``not``, and restore the verb before it (``ca`` becomes ``can``)."""
    expanded: list[str] = []
    for word in words:
        if word.lower() == "n't":
            if expanded:
                expanded[-1] = SHORTENED.get(expanded[-1].lower(), expanded[-1])
            word = "not"
        expanded.append(word)
    return expanded


def tokenize_shard(
    reviews: Path, *, tokenize: TokenizeConfig, out: Path, progress: Progress = silent
) -> dict[str, Any]:
    """Write ``tokens.parquet`` (row, label, tokens) and ``counts.parquet`` into ``out``.

    A row of counts is a word, how often it occurs in the shard, and the position of its first
    occurrence among the shard's tokens (from 0), by which rows are ordered. Returns the numbers
    of reviews and tokens.
    """
    texts: list[pa.ListArray] = []
    done = 0
    with pq.ParquetFile(reviews) as shard:
        total = shard.metadata.num_rows
        for batch in shard.iter_batches(batch_size=BATCH, columns=["text"]):
            words = tokenize_texts(batch["text"].to_pylist(), tokenize)
            texts.append(pa.array(words, TOKENS.field("tokens").type))
            done += len(words)
            progress(done, total)
    table = pq.read_table(reviews, columns=["row", "label"])
    tokens = pa.chunked_array(texts, TOKENS.field("tokens").type)
    pq.write_table(
        pa.table([table["row"], table["label"], tokens], schema=TOKENS),
        out / "tokens.parquet",
        compression="zstd",
    )
    counts = count_words(pc.list_flatten(tokens).combine_chunks())
    pq.write_table(counts, out / "counts.parquet", compression="zstd")
    return {"rows": done, "tokens": pc.sum(counts["count"]).as_py() or 0}


def count_words(words: pa.StringArray) -> pa.Table:
    """Return each word with its count and first position, ordered by that position."""
    encoded = words.dictionary_encode()  # which numbers the words in the order they first occur
    numbers = encoded.indices.to_numpy()
    highest = np.maximum.accumulate(numbers) if len(numbers) else numbers
    columns = [
        encoded.dictionary,
        np.bincount(numbers, minlength=len(encoded.dictionary)),
        np.flatnonzero(np.diff(highest, prepend=-1)),
    ]
    return pa.table(columns, names=COUNTS.names).cast(COUNTS)
