"""Reading labelled reviews from files: which are valid, and why the others are rejected.

The main format is fastText's, one review per line: ``__label__1 title: body`` for a negative review
(1 or 2 stars), ``__label__2 ...`` for a positive one (4 or 5 stars).
"""

from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sentiment.data.columns import Columns, choose_columns
from sentiment.data.encodings import UTF8, read_pieces
from sentiment.data.labels import (
    IGNORE,
    NEGATIVE,
    POSITIVE,
    Labels,
    count_label,
    in_lines,
    label_name,
)
from sentiment.data.table_config import TableConfig
from sentiment.data.tables import Table, open_table
from sentiment.errors import DataError
from sentiment.progress import OnRead, ignore_share

LABEL = b"__label__"
LABELS = {LABEL + b"1": NEGATIVE, LABEL + b"2": POSITIVE}
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
REVIEWS = pa.schema([("row", pa.int64()), ("label", pa.int8()), ("text", pa.string())])
NO_LABEL = -2  # besides NEGATIVE, POSITIVE and IGNORE


class Review(NamedTuple):
    """One review: its row in the file (from 0), its label (0 negative, 1 positive), its text."""

    row: int
    label: int
    text: str


class Reject(NamedTuple):
    """A rejected row: its place in the file (from 0), the reason, and its bytes (as UTF-8)."""

    row: int
    reason: str
    bytes: bytes


class Ignored(NamedTuple):
    """A row whose label says that it is to be left out: its row in the file (from 0)."""

    row: int


class Batch(NamedTuple):
    """Rows that follow each other in a file: how many, the valid and the rejected ones among them.

    ``reviews`` has the columns of ``REVIEWS``. The other rows are ignored for their label.
    """

    rows: int
    reviews: pa.Table
    rejects: list[Reject]


class TextRow(NamedTuple):
    """One row of a table: its text, or the reason why it has none; its other values; its bytes.

    ``label`` holds the value of the label column, if there is one and the row could be read, and
    ``kept`` those of the columns to keep.
    """

    text: str | None
    reason: str
    label: Sequence[Any]
    kept: Sequence[Any]
    raw: bytes


def line_labels(labels: Labels) -> dict[bytes, int]:
    """Return the meaning of each label of fastText lines: of 1 and 2, if no others are given."""
    return {LABEL + name.encode(): meaning for name, meaning in in_lines(labels).meanings().items()}


def split_label(line: bytes) -> tuple[bytes, bytes]:
    """Return the fastText label that a line begins with, or nothing, and the text after it."""
    if not line.startswith(LABEL):
        return b"", line
    head, *rest = line.split(maxsplit=1)
    return head, rest[0] if rest else b""


def meaning_of(label: bytes, labels: Mapping[bytes, int]) -> int | None:
    """Return what a fastText label means, compared as in a table; None if it is not known."""
    if label in labels or not label.startswith(LABEL) or label.split() != [label]:
        return labels.get(label)
    name = label_name(label.removeprefix(LABEL).decode("utf-8", "replace"))
    return labels.get(LABEL + name.encode())


def parse_line(
    row: int, line: bytes, max_bytes: int, labels: Mapping[bytes, int] = LABELS
) -> Review | Reject | Ignored:
    """Read one line in fastText format, without its line end.

    The text is everything after the label and one space, unchanged.
    """
    head, separator, body = line.partition(b" ")
    label = meaning_of(head, labels)
    if label is None or not separator:
        return Reject(row, _why_no_label(line, labels), line)
    if label == IGNORE:
        return Ignored(row)
    if len(line) > max_bytes:
        return Reject(row, f"longer than {max_bytes:,} bytes", line)
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return Reject(row, "invalid UTF-8", line)
    if not text.strip():
        return Reject(row, "empty text", line)
    return Review(row, label, text)


def _why_no_label(line: bytes, labels: Mapping[bytes, int]) -> str:
    if not line.strip():
        return "empty line"
    if line.startswith(BYTE_ORDER_MARK):
        return "byte order mark before the label"
    if line[:1].isspace():
        return "white space before the label"
    head, _, _ = line.partition(b" ")
    if meaning_of(head, labels) is not None:
        return "empty text"
    if meaning_of(head.partition(b"\t")[0], labels) is not None:
        return "tab after the label"
    return "unknown label" if head.startswith(LABEL) else "no label"


def read_batches(
    path: Path,
    config: TableConfig,
    *,
    max_bytes: int,
    every: int,
    limit: int | None = None,
    found: Counter[str] | None = None,
    on_read: OnRead = ignore_share,
) -> Generator[Batch, None, None]:
    """Yield the lines or rows of a file, in order; a batch ends at each multiple of ``every``.

    The file's name decides the format: see :func:`sentiment.data.tables.open_table`; other files
    have fastText lines. ``config`` says which columns of a table are read and what its labels mean.
    ``limit`` is the number of rows to read, None for all. ``found`` gets the number of rows with
    each label, and of lines with each unknown one. ``on_read`` gets the share of the file read so
    far. Raises DataError at once for missing or ambiguous columns.
    """
    found = Counter() if found is None else found
    table = open_table(path, config, on_read)
    if table is None:
        refuse_columns(path, config)
        pieces = read_pieces(path, config.encoding, on_read)
        return _line_batches(pieces, line_labels(config.labels), max_bytes, every, limit, found)
    columns = choose_columns(path, table, config, labelled=True)
    texts = read_texts(table, columns, config.encoding, max_bytes)
    return _row_batches(islice(_reviews(texts, config.labels, found), limit), every)


def _line_batches(
    pieces: Iterable[bytes],
    labels: Mapping[bytes, int],
    max_bytes: int,
    every: int,
    limit: int | None,
    found: Counter[str],
) -> Generator[Batch, None, None]:
    row = 0
    for piece in pieces:
        newlines = np.flatnonzero(np.frombuffer(piece, np.uint8) == ord("\n"))
        bounds = np.append(0, newlines + 1).astype(np.int32)
        while len(bounds) > 1:
            most = every - row % every if limit is None else min(every - row % every, limit - row)
            batch = parse_lines(piece, bounds[: most + 1], row, max_bytes, labels)
            for reject in batch.rejects:
                if reject.reason == "unknown label":
                    name = split_label(reject.bytes)[0].removeprefix(LABEL)
                    count_label(label_name(name.decode("utf-8", "replace")), found)
            yield batch
            row += batch.rows
            if row == limit:
                return
            bounds = bounds[most:]


def parse_lines(
    content: bytes,
    bounds: npt.NDArray[np.int32],
    row: int,
    max_bytes: int,
    labels: Mapping[bytes, int] = LABELS,
) -> Batch:
    """Read lines by columns, as :func:`parse_line` reads each.

    ``bounds`` are the places in ``content`` where the lines begin, and the end of the last; each
    ends with ``\\n`` or ``\\r\\n``. ``row`` is the number of the first. Lines that are not plainly
    valid go through :func:`parse_line`.
    """
    data, buffer, count = np.frombuffer(content, np.uint8), pa.py_buffer(content), len(bounds) - 1
    starts, ends = bounds[:-1], bounds[1:] - 1
    ends = ends - (data[ends - 1] == ord("\r"))  # before an empty line there is a "\n", or the end
    lines = _strings(pa.binary(), bounds, buffer)
    label, texts = np.full(count, NO_LABEL, np.int8), starts.copy()
    for name, meaning in labels.items():
        if b" " not in name:
            has_name = np.asarray(pc.starts_with(lines, name + b" "))
            label[has_name] = meaning
            texts[has_name] += len(name) + 1
    plain = (label != NO_LABEL) & (ends - starts <= max_bytes) & ~white_starts()[data[texts]]
    try:
        lines.cast(pa.string())
    except pa.ArrowInvalid:
        plain &= np.asarray(pc.string_is_ascii(lines.view(pa.string())))
    rejects = []
    for at in np.flatnonzero(~plain & (label != IGNORE)).tolist():
        record = parse_line(row + at, content[starts[at] : ends[at]], max_bytes, labels)
        if isinstance(record, Reject):
            rejects.append(record)
        elif isinstance(record, Review):
            plain[at], label[at] = True, record.label
            texts[at] = content.index(b" ", starts[at]) + 1
    valid = np.flatnonzero(plain & (label != IGNORE))
    # Texts and what lies between them, as one column without a copy.
    pieces = _strings(pa.string(), np.column_stack([texts, ends]).ravel(), buffer)
    columns = [row + valid, label[valid], pieces.take(pa.array(2 * valid))]
    return Batch(count, pa.table(columns, schema=REVIEWS), rejects)


@cache
def white_starts() -> npt.NDArray[np.bool_]:
    """Tell of each byte whether white space begins with it: other texts are not blank."""
    starts = [chr(code).encode()[0] for code in range(0x3001) if chr(code).isspace()]
    return np.isin(np.arange(256), starts)


def _strings(kind: pa.DataType, bounds: npt.NDArray[np.int32], content: pa.Buffer) -> pa.Array:
    """Return what lies between the bounds, not checked to be valid."""
    return pa.Array.from_buffers(kind, len(bounds) - 1, [None, pa.py_buffer(bounds), content])


def _row_batches(
    records: Iterator[Review | Reject | Ignored], every: int
) -> Generator[Batch, None, None]:
    while some := list(islice(records, every)):
        reviews = [record for record in some if isinstance(record, Review)]
        columns = [pa.array([r[i] for r in reviews], f.type) for i, f in enumerate(REVIEWS)]
        rejects = [record for record in some if isinstance(record, Reject)]
        yield Batch(len(some), pa.table(columns, schema=REVIEWS), rejects)


def _reviews(
    texts: Iterator[TextRow], labels: Labels, found: Counter[str]
) -> Iterator[Review | Reject | Ignored]:
    meanings = labels.meanings()
    for row, (text, reason, label, _, raw) in enumerate(texts):
        if not label:
            yield Reject(row, reason, raw)
            continue
        name = label_name(label[0])
        count_label(name, found)
        meaning = meanings.get(name)
        if meaning == IGNORE:
            yield Ignored(row)
        elif meaning is None:
            yield Reject(row, "unknown label", raw)
        elif text is None:
            yield Reject(row, reason, raw)
        else:
            yield Review(row, meaning, text)


def refuse_columns(path: Path, config: TableConfig) -> None:
    """Raise DataError if the settings name columns, for a file that has none."""
    if config.columns or config.label_column:
        raise DataError(
            f"{path}: has lines and no columns. Remove the column options, or make a table of it "
            "with --separator."
        )


def read_texts(table: Table, columns: Columns, encoding: str, max_bytes: int) -> Iterator[TextRow]:
    """Yield every row of a table with its text, the same for training and for scoring."""
    first, last = len(columns.texts), len(columns.texts) + bool(columns.label)
    for record in table.read(columns.all):
        if record.values is None:
            yield TextRow(None, record.fault, (), (), record.raw)
            continue
        values = record.values
        parts = values[:first]
        text = joined(parts)
        if all(part is None for part in parts):
            reason = "null"
        elif not all(isinstance(part, str | None) for part in parts):
            reason = "not text"
        else:
            # Of Parquet only some columns are read: those to keep must not count.
            size = len(text.encode("utf-8", "replace")) if table.types else len(record.raw)
            reason = why_unusable(text, size, max_bytes, encoding)
        yield TextRow(
            None if reason else text, reason, values[first:last], values[last:], record.raw
        )


def joined(parts: Sequence[object]) -> str:
    """Join a review's title and body into one text, leaving out blank ones."""
    return ": ".join(part for part in parts if isinstance(part, str) and part.strip())


def why_unusable(text: str, size: int, max_bytes: int, encoding: str = UTF8) -> str:
    """Return why a row of ``size`` bytes is rejected, or an empty string if it is valid."""
    if size > max_bytes:
        return f"longer than {max_bytes:,} bytes"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return f"invalid {encoding.upper()}"
    return "" if text.strip() else "empty text"
