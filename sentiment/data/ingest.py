"""Stage ``ingest``: one input file becomes numbered Parquet shards of valid reviews."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import Field

from sentiment.data.duplicates import text_hash, text_hashes
from sentiment.data.encodings import UTF8
from sentiment.data.labels import (
    NEGATIVE,
    POSITIVE,
    Labels,
    are_doubtful,
    describe_labels,
    in_lines,
)
from sentiment.data.reviews import REVIEWS, Reject, read_batches
from sentiment.data.table_config import TableConfig
from sentiment.data.tables import table_format
from sentiment.errors import DataError, RejectRateError
from sentiment.progress import Progress, silent

SPLITS = ("train", "validation", "test")
SplitRule = Literal["train", "validation", "test", "halves", "hash"]

REJECTS = pa.schema([("row", pa.int64()), ("reason", pa.string()), ("bytes", pa.binary())])
REPORT_EVERY = 5_000  # rows
WRITERS = 2  # threads; one writes shards about as fast as eight decode bz2
HOPELESS = 1_000_000  # rows: if most of as many are rejected, the others are not read


class IngestConfig(TableConfig):
    """What to read of the files, how much, and how many rejected rows to accept."""

    SECTION: ClassVar[str] = "ingest."

    train_limit: int | None = Field(
        None, ge=1, description="Read only this many lines of the training file."
    )
    test_limit: int | None = Field(
        None, ge=2, description="Read only this many lines of the test file."
    )
    shard_size: int = Field(25_000, ge=1, description="Reviews per shard.")
    max_reject_rate: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Stop the run if a larger share of a file's rows is rejected.",
    )
    max_line_bytes: int = Field(262_144, ge=16, description="Reject rows longer than this.")
    duplicates: Literal["keep", "drop"] = Field(
        "keep",
        description="Keep or drop duplicates of an earlier review of the same file; case and white "
        "space do not count.",
    )
    held_out: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="Without a test file: share of reviews held out, half for validation and half "
        "for test, chosen by a hash of the text.",
    )


class ShardWriter:
    """Writes the reviews of one split as shards of a fixed number of rows, on a pool's threads."""

    def __init__(self, out: Path, split: str, shard_size: int, pool: Executor) -> None:
        self._out, self._split, self._shard_size = out, split, shard_size
        self._pool, self._writing = pool, deque[Future[None]]()
        self._waiting = [REVIEWS.empty_table()]
        self._rows = 0  # that wait
        self.paths: list[Path] = []
        self.labels: Counter[int] = Counter()

    def add(self, reviews: pa.Table) -> None:
        """Take a table with the columns of ``REVIEWS``, of any number of rows."""
        positive = pc.sum(reviews["label"], min_count=0).as_py()
        self.labels.update({POSITIVE: positive, NEGATIVE: len(reviews) - positive})
        self._waiting.append(reviews)
        self._rows += len(reviews)
        while self._rows >= self._shard_size:
            self._write(self._shard_size)

    def close(self) -> None:
        """Write the remaining rows as a last, shorter shard, and wait for all to be written."""
        if self._rows:
            self._write(self._rows)
        while self._writing:
            self._writing.popleft().result()

    def _write(self, rows: int) -> None:
        waiting = pa.concat_tables(self._waiting)
        path = self._out / f"{self._split}-{len(self.paths):05d}.parquet"
        self._writing.append(self._pool.submit(_write_shard, waiting[:rows], path))
        if len(self._writing) > WRITERS:
            self._writing.popleft().result()
        self.paths.append(path)
        self._waiting, self._rows = [waiting[rows:]], self._rows - rows


def _write_shard(reviews: pa.Table, path: Path) -> None:
    pq.write_table(reviews.combine_chunks(), path, compression="zstd")


class RejectWriter:
    """Writes rejected rows in batches, so that a file full of them fits in memory."""

    def __init__(self, path: Path) -> None:
        self._writer = pq.ParquetWriter(path, REJECTS, compression="zstd")
        self._rows: list[Reject] = []
        self._bytes = 0
        self.reasons: Counter[str] = Counter()
        self.first: list[Reject] = []

    def add(self, reject: Reject) -> None:
        self._rows.append(reject)
        self._bytes += len(reject.bytes)
        self.reasons[reject.reason] += 1
        if len(self.first) < 3:
            self.first.append(reject)
        if self._bytes > 1 << 24 or len(self._rows) == 10_000:
            self._flush()

    def _flush(self) -> None:
        columns = [
            pa.array([row[i] for row in self._rows], field.type) for i, field in enumerate(REJECTS)
        ]
        self._writer.write_table(pa.table(columns, schema=REJECTS))
        self._rows, self._bytes = [], 0

    def close(self) -> None:
        if self._rows:
            self._flush()
        self._writer.close()


def ingest_file(
    source: Path,
    *,
    split: SplitRule,
    limit: int | None,
    ingest: IngestConfig,
    out: Path,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write ``<split>-<number>.parquet`` (row, label, text) and ``rejects.parquet`` into ``out``.

    ``split`` decides where the reviews go: to one split, by ``halves`` (the first half of the valid
    ones to validation, the second to test), or by ``hash`` (see ``IngestConfig.held_out``).
    ``limit`` is the number of lines to read, None for all. Returns the lines read, those ignored
    for their label, the duplicates dropped (``repeated``), the rejected ones by reason, and the
    rows per split and label. Finding duplicates takes about 70 bytes of memory per review. Raises
    RejectRateError above ``max_reject_rate`` and for labels that may mean something else,
    ArchiveError or DataError if the file cannot be read to its end.
    """
    rejects = RejectWriter(out / "rejects.parquet")
    read, ignored, repeated, share = 0, 0, 0, 0.0
    seen: set[int] | None = set() if ingest.duplicates == "drop" else None
    found: Counter[str] = Counter()

    def on_read(so_far: float) -> None:
        nonlocal share
        share = so_far

    batches = read_batches(
        source,
        ingest,
        max_bytes=ingest.max_line_bytes,
        every=REPORT_EVERY,
        limit=limit,
        found=found,
        on_read=on_read,
    )

    def check() -> None:
        _check_rejects(source, rejects, read - ignored, found, ingest, out / "rejects.parquet")

    def valid() -> Iterator[pa.Table]:
        nonlocal read, ignored, repeated
        for batch in batches:
            read += batch.rows
            ignored += batch.rows - len(batch.reviews) - len(batch.rejects)
            if read % REPORT_EVERY == 0:
                progress(read, limit, share=max(share, read / limit if limit else 0.0))
            for reject in batch.rejects:
                rejects.add(reject)
            if read >= HOPELESS and rejects.reasons.total() > read / 2:
                check()
            new = batch.reviews if seen is None else _unseen(batch.reviews, seen)
            repeated += len(batch.reviews) - len(new)
            yield new

    try:
        rows = _write_splits(valid(), split, ingest, out)
    finally:
        batches.close()  # with the threads that decode
        rejects.close()
    progress(read, read, share=1.0)
    check()
    return {
        "read": read,
        "ignored": ignored,
        "repeated": repeated,
        "rejected": dict(sorted(rejects.reasons.items())),
        "rows": rows,
    }


def _unseen(reviews: pa.Table, seen: set[int]) -> pa.Table:
    """Return the reviews whose text is not among those seen, and add it to them."""
    new = []
    for text in map(text_hash, reviews["text"].to_pylist()):
        new.append(text not in seen)
        seen.add(text)
    return reviews.filter(pa.array(new, pa.bool_()))


def _write_splits(
    tables: Iterable[pa.Table], rule: SplitRule, config: IngestConfig, out: Path
) -> dict[str, dict[str, int]]:
    with ThreadPoolExecutor(WRITERS, "shards") as pool:
        writers = {split: ShardWriter(out, split, config.shard_size, pool) for split in SPLITS}
        if rule == "halves":
            parts = _by_halves(tables, ShardWriter(out, "spooled", config.shard_size, pool))
        elif rule == "hash":
            parts = _by_hash(tables, config.held_out)
        else:
            parts = ((rule, table) for table in tables)
        for split, reviews in parts:
            writers[split].add(reviews)
        for writer in writers.values():
            writer.close()
    return {
        split: {"negative": writer.labels[NEGATIVE], "positive": writer.labels[POSITIVE]}
        for split, writer in writers.items()
        if writer.labels.total()
    }


def _by_halves(tables: Iterable[pa.Table], spool: ShardWriter) -> Iterator[tuple[str, pa.Table]]:
    """Count the reviews by writing them to files; read them again, and remove the files."""
    for table in tables:
        spool.add(table)
    spool.close()
    left = spool.labels.total() // 2  # of the first half
    for path in spool.paths:
        table = pq.read_table(path)
        path.unlink()
        yield "validation", table[:left]
        yield "test", table[left:]
        left = max(left - len(table), 0)


def _by_hash(tables: Iterable[pa.Table], held_out: float) -> Iterator[tuple[str, pa.Table]]:
    for table in tables:
        hashes = text_hashes(table["text"].combine_chunks()).tolist()
        splits = [hashed_split(each, held_out) for each in hashes]
        for split in SPLITS:
            yield split, table.filter(pc.equal(pa.array(splits, pa.string()), split))


def hashed_split(digest: int, held_out: float) -> str:
    """Choose a split by a text's hash alone, so that equal texts always share a split.

    Texts that differ only in case and white space have the same hash, and are duplicates.
    """
    place = digest / 2**64
    if place >= held_out:
        return "train"
    return "validation" if place < held_out / 2 else "test"


def _check_rejects(
    source: Path,
    rejects: RejectWriter,
    read: int,
    found: Counter[str],
    config: IngestConfig,
    attachment: Path,
) -> None:
    """Raise RejectRateError if too many of the rows were rejected, or the labels are in doubt.

    ``read`` does not count the rows ignored for their label.
    """
    rejected = rejects.reasons.total()
    table = table_format(source, config)
    labels = config.labels if table else in_lines(config.labels)
    doubtful = bool(table) and are_doubtful(found, labels)
    if not doubtful and (not read or rejected / read <= config.max_reject_rate):
        return
    reasons = ", ".join(f"{reason}: {count:,}" for reason, count in rejects.reasons.most_common())
    unit = "row" if table else "line"  # from 1, the header not counted
    first = ", ".join(f"{unit} {reject.row + 1:,} ({reject.reason})" for reject in rejects.first)
    limit = f"more than ingest.max_reject_rate allows ({config.max_reject_rate:.2%})"
    if doubtful and rejected / read <= config.max_reject_rate:
        limit = "and with other numbers among the labels, 1 may not mean positive"
    advice = _what_to_do(rejects.reasons, found, labels, doubtful)
    error = RejectRateError(
        f"{source}: {rejected:,} of {read:,} {unit}s rejected ({rejected / read:.2%}), {limit}. By "
        f"reason: {reasons}. First: {first}. {advice}"
    )
    error.attachment = attachment
    raise error


def _what_to_do(reasons: Counter[str], found: Counter[str], labels: Labels, doubtful: bool) -> str:
    """Say what to do next, by the reason of most rejects."""
    ((most, _),) = reasons.most_common(1)
    if found and most == "unknown label":
        return describe_labels(found, labels, IngestConfig.SECTION)
    advice = "Fix the file, or raise ingest.max_reject_rate."
    if doubtful:
        advice = describe_labels(found, labels, IngestConfig.SECTION)
    if most == "not valid CSV":
        return f"If quotes are plain characters in it: --set ingest.quotes=false. {advice}"
    if most == f"invalid {UTF8.upper()}":
        return f"Is it in another encoding? Then add --encoding latin-1 (or cp1252). {advice}"
    return advice


def check_splits(rows: Mapping[str, Mapping[str, int]]) -> None:
    """Raise DataError if a split is empty or the training reviews have one class only.

    ``rows`` holds the number of reviews by split and class.
    """
    total = sum(sum(classes.values()) for classes in rows.values())
    for split in SPLITS:
        classes = rows.get(split, {})
        if not sum(classes.values()):
            raise DataError(
                f"The {split} split has no valid review; there are {total:,} in all. If that is "
                "few, add reviews, or a test file. Otherwise check the input files and their "
                "rejects.parquet, or raise ingest.train_limit and ingest.test_limit."
            )
        missing = [name for name in ("negative", "positive") if not classes.get(name)]
        if missing and split == "train":
            raise DataError(
                f"All {sum(classes.values()):,} training reviews have one class; none is "
                f"{missing[0]}. A model needs both. Check the labels of the input files."
            )
