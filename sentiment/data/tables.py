"""Tables of reviews as they stand in files: CSV, JSON lines and Parquet, a record at a time."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from sentiment.data.archives import DECODERS, read_lines
from sentiment.errors import DataError
from sentiment.progress import Seen, unseen

JSON_LINES = (".jsonl", ".ndjson", ".json")
FIRST_LINES = 1_000  # among which a JSON object must be


class Record(NamedTuple):
    """One row: the values of the columns asked for, or why there are none; its bytes."""

    values: Sequence[Any] | None
    fault: str
    raw: bytes


class Table(NamedTuple):
    """A file's column names, a function that yields all its records once, and the types known."""

    columns: list[str]
    read: Callable[[Sequence[str]], Iterator[Record]]
    types: Mapping[str, pa.DataType] = {}


def open_table(path: Path, seen: Seen = unseen) -> Table | None:
    """Open a table; its format follows the name, None for a file of another kind.

    ``.csv`` begins with a header, ``.jsonl``, ``.ndjson`` and ``.json`` hold one JSON object a line
    (its columns are the keys of the first), both plain or as ``.bz2``, ``.gz``, ``.zst``. ``seen``
    is told which share of the bytes, or of a Parquet file's rows, has been read. Raises DataError
    for a file that cannot be read, here or while it is read.
    """
    kind = table_format(path)
    if kind == "parquet" and path.suffix.lower() in DECODERS:
        raise DataError(f"{path}: a Parquet file is compressed inside. Unpack it once.")
    return OPEN[kind](path, seen) if kind else None


def table_format(path: Path) -> Literal["csv", "json", "parquet"] | None:
    """Return which kind of table a file is by its name, None for one of lines."""
    *_, before, last = ["", "", *(suffix.lower() for suffix in path.suffixes)]
    suffix = before if last in DECODERS else last
    if suffix in JSON_LINES:
        return "json"
    if suffix == ".csv":
        return "csv"
    return "parquet" if suffix == ".parquet" else None


def _csv(path: Path, seen: Seen) -> Table:
    records = _csv_records(path, seen)
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


def _csv_records(path: Path, seen: Seen) -> Iterator[tuple[list[str] | None, bytes]]:
    """Yield each record's fields, None where they cannot be told apart, and its bytes."""
    consumed: list[bytes] = []

    def lines() -> Iterator[str]:
        for line in read_lines(path, seen):
            consumed.append(line)
            yield line.decode("utf-8", "surrogateescape") + "\n"

    csv.field_size_limit(max(csv.field_size_limit(), 1 << 27))
    reader = csv.reader(lines())
    while True:
        consumed.clear()
        fields: list[str] | None
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error:
            fields = None
        yield fields, b"\n".join(consumed)


def _json_lines(path: Path, seen: Seen) -> Table:
    lines = read_lines(path, seen)
    before: list[bytes] = []  # what comes before the first object, whose keys name the columns
    columns: list[str] = []
    for line in islice(lines, FIRST_LINES):
        before.append(line)
        first = _json_object(line)
        if isinstance(first, dict):
            columns = list(first)
            break
    else:
        raise DataError(f"{path}: its first lines hold no JSON object. One object a line is read.")

    def read(columns: Sequence[str]) -> Iterator[Record]:
        for line in chain(before, lines):
            found = _json_object(line)
            if isinstance(found, str):
                yield Record(None, found, line)
            else:
                yield Record([found.get(name) for name in columns], "", line)

    return Table(columns, read)


def _json_object(line: bytes) -> dict[str, Any] | str:
    """Return a line's object, or why it holds none."""
    try:
        found = json.loads(line.removeprefix(b"\xef\xbb\xbf"))
    except UnicodeDecodeError:
        return "invalid UTF-8"
    except (ValueError, RecursionError):
        return "not valid JSON" if line.strip() else "empty line"
    return found if isinstance(found, dict) else "no JSON object"


def _parquet(path: Path, seen: Seen) -> Table:
    def read(columns: Sequence[str]) -> Iterator[Record]:
        with _parquet_file(path) as file:
            done = 0
            for batch in file.iter_batches(batch_size=4096, columns=list(columns)):
                done += batch.num_rows
                seen(done / file.metadata.num_rows)
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


OPEN: dict[str, Callable[[Path, Seen], Table]] = {
    "csv": _csv,
    "json": _json_lines,
    "parquet": _parquet,
}
