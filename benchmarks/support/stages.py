"""The pipeline's own functions, from a bz2 file to stored tensors, without store and Prefect."""

import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.support.machine import peak_memory
from sentiment.data.ingest import REPORT_EVERY, IngestConfig, ingest_file
from sentiment.data.reviews import read_batches
from sentiment.files import digest_file
from sentiment.text.cached_tokenizer import CachedTokenizer
from sentiment.text.cleaning import TokenizeConfig, clean_column
from sentiment.text.nltk_words import word_tokenize
from sentiment.text.tensors import TensorsConfig, encode_shard
from sentiment.text.tokenize import BATCH, count_words, rename_urls, tokenize_shard
from sentiment.text.vocabulary import VocabularyConfig, build_vocabulary
from tasks.manifest import digest_json

INGEST, TOKENIZE, TENSORS = IngestConfig(), TokenizeConfig(), TensorsConfig()


class Outputs(NamedTuple):
    """The files that the stages wrote; tokens and tensors one per shard."""

    tokens: list[Path]
    vocabulary: Path
    tensors: list[Path]

    def digest(self) -> str:
        """Return a digest of the bytes of all files."""
        return digest_json(list(map(digest_file, [*self.tokens, self.vocabulary, *self.tensors])))


class Peaks(NamedTuple):
    """Peak memory in bytes: of the parent process, and of its largest worker."""

    parent: int
    worker: int


def read(source: Path) -> list[pa.Table]:
    """Decompress and parse a file."""
    every, most = REPORT_EVERY, INGEST.max_line_bytes
    return [batch.reviews for batch in read_batches(source, INGEST, max_bytes=most, every=every)]


def clean_texts(texts: pa.StringArray) -> pa.StringArray:
    return clean_column(texts, TOKENIZE)


def tokenize(tokenizer: CachedTokenizer, cleaned: pa.StringArray) -> list[pa.ListArray]:
    """Split cleaned texts into words, in batches of the stage's size."""
    parts = (cleaned[start : start + BATCH] for start in range(0, len(cleaned), BATCH))
    return [rename_urls(tokenizer.tokenize(part)) for part in parts]


def build_words(shards: Sequence[pa.ListArray], folder: Path) -> Path:
    """Count the words of each shard, merge the counts and write the vocabulary."""
    counts = []
    for number, shard in enumerate(shards):
        counts.append(folder / f"counts-{number:05d}.parquet")
        pq.write_table(count_words(shard.flatten()), counts[-1], compression="zstd")
    build_vocabulary(counts, vocabulary=VocabularyConfig(), out=folder)
    return folder / "vocabulary.parquet"


def run_stages(
    source: Path, folder: Path, *, shard_size: int, pool: ProcessPoolExecutor | None = None
) -> tuple[Outputs, Peaks]:
    """Run ingest, tokenize, vocabulary and tensors; a pool runs the shards of tokenize and tensors.

    Ingest has one request per file, and runs in this process.
    """
    spread = map if pool is None else pool.map
    reviews = folder / "reviews"
    reviews.mkdir(parents=True)
    config = IngestConfig(shard_size=shard_size)
    ingest_file(source, split="train", limit=None, ingest=config, out=reviews)
    shards = sorted(reviews.glob("train-*.parquet"))
    parts = [folder / shard.stem for shard in shards]
    peaks = list(spread(_tokenize, shards, parts))
    counts = [part / "counts.parquet" for part in parts]
    build_vocabulary(counts, vocabulary=VocabularyConfig(), out=folder)
    words = folder / "vocabulary.parquet"
    peaks += spread(encode, parts, repeat(words))
    outputs = Outputs(
        tokens=[part / "tokens.parquet" for part in parts],
        vocabulary=words,
        tensors=[part / "tensors.parquet" for part in parts],
    )
    return outputs, Peaks(peak_memory(), max(peaks) if pool else 0)


def _tokenize(shard: Path, out: Path) -> int:
    out.mkdir()
    tokenize_shard(shard, tokenize=TOKENIZE, out=out)
    return peak_memory()


def encode(part: Path, vocabulary: Path) -> int:
    """Write a shard's tensors beside its tokens; return the peak memory of this process."""
    encode_shard(part / "tokens.parquet", vocabulary, tensors=TENSORS, out=part)
    return peak_memory()


def started_workers(count: int) -> tuple[ProcessPoolExecutor, float]:
    """Return a pool whose processes have loaded their code, and the seconds that took."""
    started = time.perf_counter()
    context = get_context("spawn")
    pool = ProcessPoolExecutor(
        count, mp_context=context, initializer=_meet, initargs=(context.Barrier(count),)
    )
    for future in [pool.submit(peak_memory) for _ in range(count)]:
        future.result()
    return pool, time.perf_counter() - started


def _meet(barrier: Barrier) -> None:
    load_nltk()
    barrier.wait()


def load_nltk() -> None:
    """Pay for the first use of NLTK before the clock starts."""
    word_tokenize("Ready. Go.")
