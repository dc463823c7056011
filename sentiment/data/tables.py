"""Reading tables of reviews from CSV, TSV, JSON lines and Parquet, one record at a time."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from sentiment.data.delimited import find_separator, read_records, take_sample
from sentiment.data.encodings import read_text
from sentiment.data.formats import PACKED, TABLES, TableFormat, refuse_name, unpacked_name
from sentiment.data.table_config import TableConfig
from sentiment.data.zips import member_name
from sentiment.errors import DataError
from sentiment.progress import OnRead, ignore_share

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
    has_header: bool = False  # in its first row, which may be missing


def open_table(path: Path, config: TableConfig, on_read: OnRead = ignore_share) -> Table | None:
    """Open a table; return None for a file of lines.

    ``.csv`` and ``.tsv`` begin with a header, unless the settings say otherwise. ``.jsonl``,
    ``.ndjson`` and ``.json`` hold one JSON object per line; the keys of the first are the columns.
    ``on_read`` gets the share of the bytes, or of a Parquet file's rows, read so far. Raises
    DataError if the file cannot be read, here or later while iterating.
    """
    kind = table_format(path, config)
    if kind == "parquet" and path.suffix.lower() in PACKED:
        raise DataError(f"{path}: a Parquet file is compressed inside. Decompress it first.")
    return OPEN[kind](path, config, on_read) if kind else None


def table_format(path: Path, config: TableConfig) -> TableFormat | None:
    """Return a file's table format by its name, None for a file of lines.

    A separator makes a table of any text file. Raises DataError for names of other formats.
    """
    name = member_name(path) if path.suffix.lower() == ".zip" else unpacked_name(path)
    refuse_name(path, name)
    kind = TABLES.get(Path(name).suffix.lower())
    return "csv" if kind is None and config.separator else kind


def refuse_twice(path: Path, present: Sequence[str], used: Iterable[str]) -> None:
    """Raise DataError if a column that is used is there more than once."""
    for name in used:
        if present.count(name) > 1:
            raise DataError(
                f"{path}: has {present.count(name)} columns named {name!r}. Rename or remove those "
                "that are not meant."
            )


def _tsv(path: Path, config: TableConfig, on_read: OnRead) -> Table:
    return _csv(path, config.model_copy(update={"separator": config.separator or "\t"}), on_read)


def _csv(path: Path, config: TableConfig, on_read: OnRead) -> Table:
    lines = read_text(path, config.encoding, on_read)
    sample = take_sample(lines)
    separator = config.separator or find_separator(path, sample, config.quotes)
    records = read_records(path, chain(sample, lines), separator, config.quotes)
    first = next(records, ([], b""))
    if config.header:
        names = [name.strip() for name in first[0] or []]
    else:
        names = [str(number) for number, _ in enumerate(first[0] or [], 1)]
        records = chain([first], records)

    def read(columns: Sequence[str]) -> Iterator[Record]:
        places = [names.index(name) for name in columns]
        empty: list[bytes] = []  # lines; those at the end of a file are not rows
        for fields, raw in records:
            if fields == []:
                empty.append(raw)
                continue
            while empty:
                yield Record(None, f"not {len(names)} fields", empty.pop())
            if fields is None:
                yield Record(None, "not valid CSV", raw)
            elif len(fields) != len(names):
                yield Record(None, f"not {len(names)} fields", raw)
            else:
                yield Record([fields[place] for place in places], "", raw)

    return Table(names, read, has_header=config.header)


def _json_lines(path: Path, config: TableConfig, on_read: OnRead) -> Table:
    lines = read_text(path, config.encoding, on_read)
    before: list[bytes] = []  # lines up to the first object, whose keys are the columns
    columns: list[str] = []
    for line in islice(lines, FIRST_LINES):
        if not any(before) and _begins_array(line):
            raise DataError(
                f"{path}: no JSON object in a line of its own, but a JSON array. Write one object "
                "per line, as pandas does with to_json(..., orient='records', lines=True)."
            )
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


def _begins_array(line: bytes) -> bool:
    """Return whether a line begins an array of objects, which may end on another line."""
    if not line.lstrip().startswith(b"["):
        return False
    try:
        return any(isinstance(each, dict) for each in json.loads(line))
    except (ValueError, RecursionError):
        return True


def _json_object(line: bytes) -> dict[str, Any] | str:
    """Return a line's object, or why it has none."""
    try:
        found = json.loads(line)
    except UnicodeDecodeError:
        return "invalid UTF-8"
    except (ValueError, RecursionError):
        return "not valid JSON" if line.strip() else "empty line"
    return found if isinstance(found, dict) else "no JSON object"


def _parquet(path: Path, config: TableConfig, on_read: OnRead) -> Table:
    def read(columns: Sequence[str]) -> Iterator[Record]:
        with _parquet_file(path) as file:
            done = 0
            for batch in file.iter_batches(batch_size=4096, columns=list(columns)):
                done += batch.num_rows
                on_read(done / file.metadata.num_rows)
                for record in _rows_of(batch):
                    line = json.dumps(record, ensure_ascii=False, default=str)
                    raw = line.encode("utf-8", "surrogateescape")
                    yield Record([record[name] for name in columns], "", raw)

    with _parquet_file(path) as file:
        schema = file.schema_arrow
        return Table(schema.names, read, dict(zip(schema.names, schema.types, strict=True)))


def _rows_of(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Return the rows of a batch; bytes of a text that are not UTF-8 become surrogates."""
    try:
        rows: list[dict[str, Any]] = batch.to_pylist()
    except UnicodeDecodeError:
        columns = [_lenient(column) for column in batch.columns]
        names = batch.schema.names
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    return rows


def _lenient(column: pa.Array) -> list[Any]:
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        values: list[Any] = column.to_pylist()
        return values
    found = column.cast(pa.large_binary()).to_pylist()
    return [None if text is None else text.decode("utf-8", "surrogateescape") for text in found]


@contextmanager
def _parquet_file(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read as Parquet ({error}).") from error


OPEN: dict[TableFormat, Callable[[Path, TableConfig, OnRead], Table]] = {
    "csv": _csv,
    "tsv": _tsv,
    "json": _json_lines,
    "parquet": _parquet,
}
