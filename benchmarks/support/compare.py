"""Plain loops against the pipeline: first check that they agree, then time both."""

import gc
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.support import plain_preprocessing as plain
from benchmarks.support import stages
from benchmarks.support.machine import in_fresh_process, peak_memory
from benchmarks.support.stages import Outputs, Peaks
from sentiment.text.cached_tokenizer import CachedTokenizer
from sentiment.text.tensors import EncodedReviews
from sentiment.text.tokenize import WORDS

BATCH_SIZE = 400  # the article's
TOKENIZE_BAR = 25.0
ENCODE_BAR = 3.0
WHOLE_BARS = {1: 15.0, 2: 25.0}  # by number of processes
Way = Callable[[int], float]


class Disagreement(Exception):
    """The two ways gave different results, so their times mean nothing."""


class Row(NamedTuple):
    """A line of the table: seconds of each repeat, both ways, and the reviews in a repeat."""

    stage: str
    reviews: float
    plain: list[float]
    pipeline: list[float]
    bar: float | None = None

    @property
    def rates(self) -> tuple[float, float]:
        """Reviews per second by the median time: plain, pipeline."""
        return self.reviews / median(self.plain), self.reviews / median(self.pipeline)

    @property
    def ratio(self) -> float:
        return self.rates[1] / self.rates[0]

    def to_json(self) -> dict[str, Any]:
        names = ("plain", "pipeline")
        return {
            "stage": self.stage,
            "reviews": self.reviews,
            "seconds": dict(zip(names, (self.plain, self.pipeline), strict=True)),
            "reviews_per_second": dict(zip(names, self.rates, strict=True)),
            "ratio": self.ratio,
            "bar": self.bar,
            "met": None if self.bar is None else self.ratio >= self.bar,
        }


class WholeRun(NamedTuple):
    """A run from bz2 to tensors in a fresh process.

    ``before`` is the memory held when the clock started, in bytes; ``start`` the seconds to start
    the workers, not included in ``seconds``; ``digest`` that of the files written.
    """

    seconds: float
    before: int
    peaks: Peaks
    start: float = 0.0
    digest: str = ""


def check_agreement(expected: plain.Preprocessed, outputs: Outputs) -> None:
    """Raise Disagreement unless labels, tokens, vocabulary and ids are the same."""
    at = 0
    for path in outputs.tokens:
        for words in pq.read_table(path, columns=["tokens"])["tokens"].to_pylist():
            if words != expected.tokens[at]:
                raise Disagreement(f"review {at}: the tokens differ")
            at += 1
    if at != len(expected.tokens):
        raise Disagreement(f"{at} reviews instead of {len(expected.tokens)}")
    if pq.read_table(outputs.vocabulary)["word"].to_pylist() != expected.words:
        raise Disagreement("the vocabularies differ")
    encoded = EncodedReviews.load(outputs.tensors)
    kept = [ids[: stages.TENSORS.max_length] for ids in expected.ids]
    if encoded.lengths.tolist() != [len(ids) for ids in kept]:
        raise Disagreement("the lengths differ")
    if encoded.ids.tolist() != [number for ids in kept for number in ids]:
        raise Disagreement("the ids differ")
    if encoded.labels.tolist() != expected.labels:
        raise Disagreement("the labels differ")


def pad_batches(reviews: EncodedReviews) -> Callable[[], list[plain.Padded]]:
    """Return a function that gathers all reviews in batches, padded as in the article."""
    import torch

    from sentiment.model.batches import BatchSource

    torch.set_num_threads(1)  # as in the plain loop
    length = stages.TENSORS.max_length
    device = torch.device("cpu")
    source = BatchSource(reviews, padding="left", max_length=length, device=device)
    places = np.arange(len(reviews))
    batches = [places[at : at + BATCH_SIZE] for at in range(0, len(places), BATCH_SIZE)]
    return lambda: [source.take(batch).ids.numpy() for batch in batches]


def time_stages(
    source: Path,
    expected: plain.Preprocessed,
    outputs: Outputs,
    *,
    warm: Sequence[str],
    repeats: int,
    shard_size: int,
    folder: Path,
) -> list[Row]:
    """Time each stage alone, on the output of the stage before it."""
    texts = plain.read(source)[1]
    cleaned = plain.clean(texts)
    column = pa.array(texts)
    tokens = pa.array(expected.tokens, WORDS)
    shards = [tokens[at : at + shard_size] for at in range(0, len(texts), shard_size)]
    parts = [path.parent for path in outputs.tokens]
    take_all = pad_batches(EncodedReviews.load(outputs.tensors))
    if not np.array_equal(np.concatenate(take_all()), expected.padded):
        raise Disagreement("the padded batches differ")
    gc.collect()
    gc.freeze()  # what is kept here costs neither way time

    def row(
        stage: str,
        plainly: Callable[[], object],
        ours: Callable[[], object],
        bar: float | None = None,
    ) -> Row:
        plain_seconds, our_seconds = alternate(repeats, _timed(plainly), _timed(ours))
        return Row(stage, len(texts), plain_seconds, our_seconds, bar)

    def pad_plainly() -> list[plain.Padded]:
        starts = range(0, len(texts), BATCH_SIZE)
        return [plain.pad(expected.ids[at : at + BATCH_SIZE]) for at in starts]

    return [
        row(
            "decompress + parse",
            lambda: plain.read(source),
            lambda: stages.read(source),
        ),
        row("clean", lambda: plain.clean(texts), lambda: stages.clean_texts(column)),
        *time_tokenizing(cleaned, plain.clean(list(warm)), repeats),
        row(
            "count + vocabulary",
            lambda: plain.build_vocabulary(expected.tokens),
            lambda: stages.build_words(shards, folder),
        ),
        row(
            "encode",
            lambda: plain.encode(expected.tokens, expected.words),
            lambda: [stages.encode(part, outputs.vocabulary) for part in parts],
            ENCODE_BAR,
        ),
        row(f"pad, batches of {BATCH_SIZE}", pad_plainly, take_all),
    ]


def time_tokenizing(cleaned: Sequence[str], warm: Sequence[str], repeats: int) -> list[Row]:
    """Time NLTK, an empty cached tokenizer, and one that has seen ``warm``.

    Each repeat has different reviews, so that none is seen twice.
    """
    blocks = [list(cleaned[start::repeats]) for start in range(repeats)]
    columns = [pa.array(block) for block in blocks]
    cached = CachedTokenizer()
    stages.load_nltk()
    stages.tokenize(cached, pa.array(warm))
    found: dict[tuple[str, int], list[list[str]]] = {}

    def way(name: str, tokenize: Callable[[int], list[Any]]) -> Way:
        def run(repeat: int) -> float:
            started = time.perf_counter()
            tokens = tokenize(repeat)
            seconds = time.perf_counter() - started
            if tokens and isinstance(tokens[0], pa.ListArray):
                tokens = [words for part in tokens for words in part.to_pylist()]
            if found.setdefault(("first", repeat), tokens) != tokens:
                raise Disagreement(f"the tokens differ: {name}, repeat {repeat}")
            return seconds

        return run

    plainly, cold, known = alternate(
        repeats,
        way("plain", lambda repeat: plain.tokenize(blocks[repeat])),
        way("cold", lambda repeat: stages.tokenize(CachedTokenizer(), columns[repeat])),
        way("warm", lambda repeat: stages.tokenize(cached, columns[repeat])),
    )
    size = len(cleaned) / repeats
    return [
        Row("tokenize, from nothing", size, plainly, cold),
        Row(f"tokenize, past {len(warm):,}", size, plainly, known, TOKENIZE_BAR),
    ]


def time_whole(
    source: Path,
    outputs: Outputs,
    folder: Path,
    *,
    processes: Sequence[int],
    repeats: int,
    shard_size: int,
) -> tuple[list[Row], dict[str, WholeRun]]:
    """Time bz2 to tensors, each run in a fresh process; return also the last run of each way.

    Raises Disagreement if a run's files differ from ``outputs`` in any byte.
    """
    agreed = outputs.digest()
    runs: dict[str, WholeRun] = {}

    def plainly(_: int) -> float:
        runs["plain"] = in_fresh_process(whole_plainly, source)
        return runs["plain"].seconds

    def ours(count: int) -> Way:
        def run(_: int) -> float:
            run = in_fresh_process(whole_pipeline, source, folder, shard_size, count)
            if run.digest != agreed:
                raise Disagreement(f"the files differ with {_processes(count)}")
            runs[f"pipeline, {_processes(count)}"] = run
            return run.seconds

        return run

    seconds = alternate(repeats, plainly, *map(ours, processes))
    reviews = len(plain.read(source)[0])
    rows = [
        Row(f"whole, {_processes(count)}", reviews, seconds[0], times, WHOLE_BARS.get(count))
        for count, times in zip(processes, seconds[1:], strict=True)
    ]
    return rows, dict(sorted(runs.items(), key=lambda run: run[0] != "plain"))


def whole_plainly(source: Path) -> WholeRun:
    stages.load_nltk()
    before, started = peak_memory(), time.perf_counter()
    plain.preprocess(source)
    return WholeRun(time.perf_counter() - started, before, Peaks(peak_memory(), 0))


def whole_pipeline(source: Path, folder: Path, shard_size: int, processes: int) -> WholeRun:
    stages.load_nltk()
    out = folder / f"whole-{processes}"
    pool, start = stages.started_workers(processes) if processes > 1 else (None, 0.0)
    before, started = peak_memory(), time.perf_counter()
    outputs, peaks = stages.run_stages(source, out, shard_size=shard_size, pool=pool)
    seconds = time.perf_counter() - started
    if pool is not None:
        pool.shutdown()
    digest = outputs.digest()
    shutil.rmtree(out)
    return WholeRun(seconds, before, peaks, start, digest)


def alternate(repeats: int, *ways: Way) -> list[list[float]]:
    """Run all ways in turn, repeatedly; return the seconds of each way's repeats.

    Every second round runs backwards, so that no way always follows the same one.
    """
    seconds: list[list[float]] = [[0.0] * repeats for _ in ways]
    for repeat in range(repeats):
        order = range(len(ways))
        for number in order if repeat % 2 == 0 else reversed(order):
            gc.collect()
            seconds[number][repeat] = ways[number](repeat)
    return seconds


def _timed(function: Callable[[], object]) -> Way:
    def run(_: int) -> float:
        started = time.perf_counter()
        result = function()
        seconds = time.perf_counter() - started
        del result
        return seconds

    return run


def _processes(count: int) -> str:
    return f"{count} process" if count == 1 else f"{count} processes"
