"""Reading labelled reviews from files: which are valid, and why the others are rejected.

The main format is fastText's, one review per line: ``__label__1 title: body`` for a negative review
(1 or 2 stars), ``__label__2 ...`` for a positive one (4 or 5 stars).
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from sentiment.data.archives import read_lines
from sentiment.data.tables import Table, open_table, refuse_twice
from sentiment.errors import DataError
from sentiment.progress import OnRead, ignore_share

NEGATIVE, POSITIVE = 0, 1
CLASSES = {"negative": 0, "positive": 1}
LABELS = {b"__label__1": NEGATIVE, b"__label__2": POSITIVE}
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Review(NamedTuple):
    """One review: its row in the file (from 0), its label (0 negative, 1 positive), its text."""

    row: int
    label: int
    text: str


class Reject(NamedTuple):
    """A rejected line: its row in the file (from 0), the reason, and its original bytes."""

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


def read_reviews(
    path: Path, *, max_bytes: int, labels: Sequence[int], on_read: OnRead = ignore_share
) -> Iterator[Review | Reject]:
    """Yield every line or row of a file, in order, as a Review or a Reject.

    The file's suffix decides the format: ``.csv``, ``.jsonl`` and ``.parquet`` are tables with the
    columns ``label``, ``text`` (or ``content``) and optionally ``title``; all others are fastText
    lines. ``labels`` are a table's numbers for negative and positive. ``on_read`` gets the share of
    the file read so far.
    """
    table = open_table(path, on_read)
    if table is None:
        lines = enumerate(read_lines(path, on_read))
        return (parse_line(row, line, max_bytes) for row, line in lines)
    return _table_reviews(path, table, max_bytes, labels)


def _table_reviews(
    path: Path, table: Table, max_bytes: int, labels: Sequence[int]
) -> Iterator[Review | Reject]:
    names = CLASSES | {str(number): meaning for meaning, number in enumerate(labels)}
    columns = _columns(path, table.columns)
    if columns[0] in table.types:
        _check_label_type(path, table.types[columns[0]])
    for row, record in enumerate(table.read(columns)):
        if record.values is None:
            yield Reject(row, record.fault, record.raw)
            continue
        label, *parts = record.values
        text = joined(parts)
        name = str(label).strip().lower()
        if name not in names:
            yield Reject(row, "unknown label", record.raw)
        elif fault := why_unusable(text, len(record.raw), max_bytes):
            yield Reject(row, fault, record.raw)
        else:
            yield Review(row, names[name], text)


def joined(parts: Sequence[object]) -> str:
    """Join a review's title and body into one text, leaving out blank ones."""
    return ": ".join(part for part in parts if isinstance(part, str) and part.strip())


def why_unusable(text: str, size: int, max_bytes: int) -> str:
    """Return why a row of ``size`` bytes is rejected, or an empty string if it is valid."""
    if size > max_bytes:
        return f"longer than {max_bytes:,} bytes"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "invalid UTF-8"
    return "" if text.strip() else "empty text"


def _columns(path: Path, present: Sequence[str]) -> list[str]:
    """Return the names of the label column and of the text columns, in reading order."""
    named = {name.lower(): name for name in reversed(present)}
    text = next((named[name] for name in ("text", "content") if name in named), None)
    if "label" not in named or text is None:
        raise DataError(
            f"{path}: needs the columns 'label' and 'text' (or 'content') but has "
            f"{', '.join(present) or 'none'}. Rename its columns."
        )
    columns = [named["label"], *([named["title"]] if "title" in named else []), text]
    refuse_twice(path, [name.lower() for name in present], [name.lower() for name in columns])
    return columns


def _check_label_type(path: Path, kind: pa.DataType) -> None:
    """Refuse boolean and float labels at once, instead of rejecting every row for them."""
    if pa.types.is_boolean(kind) or pa.types.is_floating(kind):
        raise DataError(
            f"{path}: its column 'label' holds {kind} values; integers are expected (see "
            "ingest.labels). Cast it, for example with .astype('Int64') in pandas."
        )
