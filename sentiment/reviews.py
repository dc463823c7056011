"""Labelled reviews as they stand in files: what a valid one is, and why another is rejected.

The main format is fastText's, one review a line: ``__label__1 title: body`` for a negative review
(1 or 2 stars), ``__label__2 ...`` for a positive one (4 or 5 stars).
"""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from sentiment.archives import read_lines
from sentiment.errors import DataError

NEGATIVE, POSITIVE = 0, 1
LABELS = {b"__label__1": NEGATIVE, b"__label__2": POSITIVE}
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Review(NamedTuple):
    """One review: its row in the file (from 0), its label (0 negative, 1 positive), its text."""

    row: int
    label: int
    text: str


class Reject(NamedTuple):
    """One line that is no review: its row in the file (from 0), why, and its bytes as they were."""

    row: int
    reason: str
    bytes: bytes


def parse_line(row: int, line: bytes, max_bytes: int) -> Review | Reject:
    """Read one line in fastText format, without its line end.

    The text is everything after the label and one space, unchanged.
    """
    head, separator, body = line.partition(b" ")
    label = LABELS.get(head)
    if label is None or not separator:
        return Reject(row, _why_no_label(line, head), line)
    if len(line) > max_bytes:
        return Reject(row, f"longer than {max_bytes:,} bytes", line)
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return Reject(row, "invalid UTF-8", line)
    if not text.strip():
        return Reject(row, "empty text", line)
    return Review(row, label, text)


def _why_no_label(line: bytes, head: bytes) -> str:
    if not line.strip():
        return "empty line"
    if line.startswith(BYTE_ORDER_MARK):
        return "byte order mark before the label"
    if line[:1].isspace():
        return "white space before the label"
    if head in LABELS:
        return "empty text"
    if any(line.startswith(label + b"\t") for label in LABELS):
        return "tab after the label"
    if head.startswith(b"__label__"):
        return "unknown label"
    return "no label"


def table_format(path: Path) -> Literal["csv", "parquet"] | None:
    """Return which kind of table a file is by its name, None for one of fastText lines."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] == [".parquet"]:
        return "parquet"
    return "csv" if ".csv" in suffixes[-2:] else None


def read_reviews(path: Path, *, max_bytes: int, labels: Sequence[int]) -> Iterator[Review | Reject]:
    """Yield every line or row of a file, in order, as a Review or a Reject.

    The format follows the name: ``.csv`` (a header with ``label``, ``text`` and perhaps ``title``)
    and ``.parquet`` (columns of those names, or ``content`` for ``text``) are tables, all else is
    fastText lines. ``labels`` are the two numbers that mean negative and positive in a table.
    """
    match table_format(path):
        case "parquet":
            return _read_parquet(path, max_bytes, labels)
        case "csv":
            return _read_csv(path, max_bytes, labels)
    return (parse_line(row, line, max_bytes) for row, line in enumerate(read_lines(path)))


def _table_row(
    row: int,
    label: object,
    parts: Sequence[object],
    raw: bytes,
    max_bytes: int,
    labels: Sequence[int],
) -> Review | Reject:
    names = {str(number): meaning for meaning, number in enumerate(labels)}
    if str(label).strip() not in names:
        return Reject(row, "unknown label", raw)
    if len(raw) > max_bytes:
        return Reject(row, f"longer than {max_bytes:,} bytes", raw)
    text = ": ".join(part for part in parts if isinstance(part, str) and part.strip())
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return Reject(row, "invalid UTF-8", raw)
    if not text:
        return Reject(row, "empty text", raw)
    return Review(row, names[str(label).strip()], text)


def _columns(path: Path, present: Sequence[str]) -> list[str]:
    """The label's column, then the text's parts in reading order."""
    text = next((name for name in ("text", "content") if name in present), None)
    if "label" not in present or text is None:
        raise DataError(
            f"{path}: needs columns 'label' and 'text' (or 'content'), and has "
            f"{', '.join(present) or 'none'}. Rename its columns."
        )
    return ["label", *(["title"] if "title" in present else []), text]


def _read_csv(path: Path, max_bytes: int, labels: Sequence[int]) -> Iterator[Review | Reject]:
    records = _csv_records(path)
    header = [name.strip("\ufeff ").lower() for name in next(records, ([], b""))[0] or []]
    places = [header.index(name) for name in _columns(path, header)]
    for row, (fields, raw) in enumerate(records):
        if fields is None:
            yield Reject(row, "not valid CSV", raw)
        elif len(fields) != len(header):
            yield Reject(row, f"not {len(header)} fields", raw)
        else:
            label, *parts = (fields[place] for place in places)
            yield _table_row(row, label, parts, raw, max_bytes, labels)


def _csv_records(path: Path) -> Iterator[tuple[list[str] | None, bytes]]:
    """Yield each record's fields, None where they cannot be told apart, and its bytes."""
    consumed: list[bytes] = []

    def lines() -> Iterator[str]:
        for line in read_lines(path):
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


def _read_parquet(path: Path, max_bytes: int, labels: Sequence[int]) -> Iterator[Review | Reject]:
    row = 0
    try:
        with pq.ParquetFile(path) as file:
            columns = _columns(path, file.schema_arrow.names)
            _check_label_type(path, file.schema_arrow.field("label").type)
            for batch in file.iter_batches(batch_size=4096, columns=columns):
                for record in batch.to_pylist():
                    raw = json.dumps(record, ensure_ascii=False, default=str).encode()
                    label, *parts = (record[name] for name in columns)
                    yield _table_row(row, label, parts, raw, max_bytes, labels)
                    row += 1
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"{path}: cannot be read as Parquet ({error}).") from error


def _check_label_type(path: Path, kind: pa.DataType) -> None:
    """Refuse labels that are near to numbers and yet none, before all rows are rejected for it."""
    if pa.types.is_boolean(kind) or pa.types.is_floating(kind):
        raise DataError(
            f"{path}: its column 'label' holds {kind} values; whole numbers are expected (see "
            "ingest.labels). Cast it, as with .astype('Int64') in pandas."
        )
