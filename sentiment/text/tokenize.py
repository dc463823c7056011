"""Stage ``tokenize``: a shard of reviews becomes tokens, a table of word counts, and hashes."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sentiment.data.duplicates import HASHES, text_hashes
from sentiment.progress import Progress, silent
from sentiment.text.cached_tokenizer import CachedTokenizer
from sentiment.text.cleaning import URL, URL_MARK, TokenizeConfig, clean_column
from sentiment.text.nltk_words import word_tokenize

TOKENS = pa.schema([("row", pa.int64()), ("label", pa.int8()), ("tokens", pa.list_(pa.string()))])
WORDS = pa.list_(pa.dictionary(pa.int32(), pa.string()))  # as they are held in memory
COUNTS = pa.schema([("word", pa.string()), ("count", pa.int64()), ("first_seen", pa.int64())])
VERBS = {"ca": "can", "wo": "will", "sha": "shall"}  # as NLTK cuts them off before n't
BATCH = 10_000  # reviews tokenized at a time


def tokenize_texts(texts: pa.StringArray, config: TokenizeConfig) -> pa.ListArray:
    """Clean texts and split each into words: lists of dictionary-coded strings."""
    cleaned = clean_column(texts, config)
    if config.engine == "cached":
        tokenized = _cached_tokenizer().tokenize(cleaned)
    else:
        tokenized = pa.array([word_tokenize(text) for text in cleaned.to_pylist()], WORDS)
    if config.urls == "whole":
        tokenized = rename_urls(tokenized)
    return expand_negations(tokenized) if config.negations == "expand" else tokenized


def tokenize_text(text: str, config: TokenizeConfig) -> list[str]:
    """Clean a text and split it into words."""
    coded = tokenize_texts(pa.array([text], pa.string()), config).values
    words: list[str] = coded.dictionary_decode().to_pylist()
    return words


_of_thread = threading.local()


def _cached_tokenizer() -> CachedTokenizer:
    """Return this thread's tokenizer, whose cache serves all shards that the thread works on."""
    if not hasattr(_of_thread, "tokenizer"):
        _of_thread.tokenizer = CachedTokenizer()
    tokenizer: CachedTokenizer = _of_thread.tokenizer
    return tokenizer


def rename_urls(tokenized: pa.ListArray) -> pa.ListArray:
    """Replace the mark that stands for a URL."""
    coded = tokenized.values
    if pc.index(coded.dictionary, URL_MARK).as_py() < 0:
        return tokenized
    words = pc.if_else(pc.equal(coded.dictionary, URL_MARK), URL, coded.dictionary)
    renamed = pa.DictionaryArray.from_arrays(coded.indices, words)
    return pa.ListArray.from_arrays(tokenized.offsets, renamed)


def expand_negations(tokenized: pa.ListArray) -> pa.ListArray:
    """Replace each ``n't`` by ``not``, and restore the verb before it (``ca`` becomes ``can``)."""
    words = tokenized.values.dictionary
    lowered = pc.utf8_lower(words)
    codes = tokenized.values.indices.to_numpy().copy()
    negated = _equal(lowered, "n't")[codes]
    if not negated.any():
        return tokenized
    whole = pa.array(["not", *VERBS.values()], pa.string())
    words = pa.concat_arrays([words, whole.filter(pc.is_null(pc.index_in(whole, words)))])
    number = dict(zip(whole.to_pylist(), pc.index_in(whole, words).to_pylist(), strict=True))
    restored = np.arange(len(words), dtype=np.int32)
    for verb, form in VERBS.items():
        restored[: len(lowered)][_equal(lowered, verb)] = number[form]
    followed = np.append(negated[1:], False)
    followed[tokenized.offsets.to_numpy()[1:-1] - 1] = False  # by the next text's first word
    codes[followed] = restored[codes[followed]]
    codes[negated] = number["not"]
    coded = pa.DictionaryArray.from_arrays(codes, words)
    return pa.ListArray.from_arrays(tokenized.offsets, coded)


def _equal(words: pa.StringArray, word: str) -> npt.NDArray[np.bool_]:
    equal: npt.NDArray[np.bool_] = pc.equal(words, word).to_numpy(zero_copy_only=False)
    return equal


def tokenize_shard(
    reviews: Path, *, tokenize: TokenizeConfig, out: Path, progress: Progress = silent
) -> dict[str, Any]:
    """Write ``tokens.parquet`` (row, label, tokens), ``counts.parquet`` and ``hashes.parquet``.

    A row of counts is a word, how often it occurs in the shard, and the position of its first
    occurrence among the shard's tokens (from 0), by which rows are ordered. A row of hashes is
    the ``text_hash`` of a review as it was before cleaning. Returns the numbers of reviews and
    tokens.
    """
    parts: list[pa.ListArray] = []
    hashes = [np.empty(0, np.uint64)]
    done = 0
    with pq.ParquetFile(reviews) as shard:
        total = shard.metadata.num_rows
        for batch in shard.iter_batches(batch_size=BATCH, columns=["text"]):
            parts.append(tokenize_texts(batch["text"], tokenize))
            hashes.append(text_hashes(batch["text"]))
            done += len(batch)
            progress(done, total)
    table = pq.read_table(reviews, columns=["row", "label"])
    tokens = pa.concat_arrays(parts) if parts else pa.array([], WORDS)
    columns = {"row": table["row"], "label": table["label"], "tokens": tokens}
    pq.write_table(
        pa.table(columns),
        out / "tokens.parquet",
        compression="zstd",
        store_schema=False,  # in the file the words are plain strings
        write_statistics=["row", "label"],
        dictionary_pagesize_limit=2**26,  # a page would else become plain
    )
    counts = count_words(tokens.flatten())
    pq.write_table(counts, out / "counts.parquet", compression="zstd")
    pq.write_table(
        pa.table([np.concatenate(hashes)], schema=HASHES),
        out / "hashes.parquet",
        compression="none",  # they are as good as random
        use_dictionary=False,
    )
    return {"rows": done, "tokens": pc.sum(counts["count"]).as_py() or 0}


def count_words(words: pa.DictionaryArray) -> pa.Table:
    """Return each word with its count and first position, ordered by that position."""
    codes, places = words.indices.to_numpy(), np.arange(len(words))
    first = np.full(len(words.dictionary), len(words))
    first[codes[::-1]] = places[::-1]
    order = np.argsort(first)[: np.count_nonzero(first < len(words))]
    counts = np.bincount(codes, minlength=len(first))
    columns = [words.dictionary.take(pa.array(order)), counts[order], first[order]]
    return pa.table(columns, names=COUNTS.names).cast(COUNTS)
