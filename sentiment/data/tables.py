"""Reading tables of reviews from CSV, JSON lines and Parquet, one record at a time."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from sentiment.data.archives import DECODERS, read_lines
from sentiment.errors import DataError
from sentiment.progress import OnRead, ignore_share

JSON_LINES = (".jsonl", ".ndjson", ".json")
MOST_LINES = 1_000  # of one record: more are taken for an unclosed quote
FIRST_LINES = 1_000  # one of these must hold a JSON object


class Record(NamedTuple):
    """One row: the values of the columns asked for, or the fault; its original bytes."""

    values: Sequence[Any] | None
    fault: str
    raw: bytes


class Table(NamedTuple):
    """A file's column names, a function that yields its records once, and the known types."""

    columns: list[str]
    read: Callable[[Sequence[str]], Iterator[Record]]
    types: Mapping[str, pa.DataType] = {}


def open_table(path: Path, on_read: OnRead = ignore_share) -> Table | None:
    """Open a table by the suffix of its name; return None for other files.

    ``.csv`` begins with a header. ``.jsonl``, ``.ndjson`` and ``.json`` hold one JSON object per
    line; the keys of the first are the columns. Both may be compressed (``.bz2``, ``.gz``,
    ``.zst``). ``on_read`` gets the share of the bytes, or of a Parquet file's rows, read so far.
    Raises DataError if the file cannot be read, here or later while iterating.
    """
    kind = table_format(path)
    if kind == "parquet" and path.suffix.lower() in DECODERS:
        raise DataError(f"{path}: a Parquet file is compressed inside. Decompress it first.")
    return OPEN[kind](path, on_read) if kind else None


def table_format(path: Path) -> Literal["csv", "json", "parquet"] | None:
    """Return a file's table format by its name, None for a file of lines."""
    *_, before, last = ["", "", *(suffix.lower() for suffix in path.suffixes)]
    suffix = before if last in DECODERS else last
    if suffix in JSON_LINES:
        return "json"
    if suffix == ".csv":
        return "csv"
    return "parquet" if suffix == ".parquet" else None


def refuse_twice(path: Path, present: Sequence[str], used: Iterable[str]) -> None:
    """Raise DataError if a column that is used is there more than once."""
    for name in used:
        if present.count(name) > 1:
            raise DataError(
                f"{path}: has {present.count(name)} columns named {name!r}. Rename or remove those "
                "that are not meant."
            )


def _csv(path: Path, on_read: OnRead) -> Table:
    records = _csv_records(path, on_read)
    header = [name.strip("\ufeff ") for name in next(records, ([], b""))[0] or []]

    def read(columns: Sequence[str]) -> Iterator[Record]:
        places = [header.index(name) for name in columns]
        for fields, raw in records:
            if fields is None:
                yield Record(None, "not valid CSV", raw)
            elif len(fields) != len(header):
                yield Record(None, f"not {len(header)} fields", raw)
            else:
                yield Record([fields[place] for place in places], "", raw)

    return Table(header, read)


def _csv_records(path: Path, on_read: OnRead) -> Iterator[tuple[list[str] | None, bytes]]:
    """Yield each record's fields, None if they are not valid CSV, and its bytes.

    Raises DataError where a quote is not closed: it would take in the rows after it.
    """
    consumed: list[bytes] = []
    first, number, at_end = 1, 0, False  # lines: of the record, the last one read

    def unclosed() -> DataError:
        return DataError(
            f"{path}: line {first:,}: a quote is opened and not closed. Double the quotes inside a "
            "quoted field, or close it."
        )

    def lines() -> Iterator[str]:
        nonlocal number, at_end
        for number, line in enumerate(read_lines(path, on_read), 1):  # noqa: B007
            if len(consumed) == MOST_LINES:
                raise unclosed()
            consumed.append(line)
            yield line.decode("utf-8", "surrogateescape") + "\n"
        at_end = True

    csv.field_size_limit(max(csv.field_size_limit(), 1 << 27))
    reader = csv.reader(lines())
    while True:
        consumed.clear()
        first = number + 1
        fields: list[str] | None
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error:
            fields = None
        if at_end:  # the reader looks for the next line only inside quotes
            raise unclosed()
        yield fields, b"\n".join(consumed)


def _json_lines(path: Path, on_read: OnRead) -> Table:
    lines = read_lines(path, on_read)
    before: list[bytes] = []  # lines up to the first object, whose keys are the columns
    columns: list[str] = []
    for line in islice(lines, FIRST_LINES):
        before.append(line)
        first = _json_object(line)
        if isinstance(first, dict):
            columns = list(first)
            break
    else:
        raise DataError(
            f"{path}: no JSON object in its first {FIRST_LINES:,} lines. Write one object per line."
        )

    def read(columns: Sequence[str]) -> Iterator[Record]:
        for line in chain(before, lines):
            found = _json_object(line)
            if isinstance(found, str):
                yield Record(None, found, line)
            else:
                yield Record([found.get(name) for name in columns], "", line)

    return Table(columns, read)


def _json_object(line: bytes) -> dict[str, Any] | str:
    """Return a line's object, or why it has none."""
    try:
        found = json.loads(line.removeprefix(b"\xef\xbb\xbf"))
    except UnicodeDecodeError:
        return "invalid UTF-8"
    except (ValueError, RecursionError):
        return "not valid JSON" if line.strip() else "empty line"
    return found if isinstance(found, dict) else "no JSON object"


def _parquet(path: Path, on_read: OnRead) -> Table:
    def read(columns: Sequence[str]) -> Iterator[Record]:
        with _parquet_file(path) as file:
            done = 0
            for batch in file.iter_batches(batch_size=4096, columns=list(columns)):
                done += batch.num_rows
                on_read(done / file.metadata.num_rows)
                for record in batch.to_pylist():
                    raw = json.dumps(record, ensure_ascii=False, default=str).encode()
                    yield Record([record[name] for name in columns], "", raw)

    with _parquet_file(path) as file:
        schema = file.schema_arrow
        return Table(schema.names, read, dict(zip(schema.names, schema.types, strict=True)))


@contextmanager
def _parquet_file(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read as Parquet ({error}).") from error


OPEN: dict[str, Callable[[Path, OnRead], Table]] = {
    "csv": _csv,
    "json": _json_lines,
    "parquet": _parquet,
}
