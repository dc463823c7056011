"""Reading texts to score from files, labelled or not, including rows that cannot be scored."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pyarrow as pa
from pydantic import Field

from sentiment.data.columns import choose_columns
from sentiment.data.encodings import read_text
from sentiment.data.labels import label_name
from sentiment.data.reviews import (
    TextRow,
    line_labels,
    meaning_of,
    read_texts,
    refuse_columns,
    split_label,
    why_unusable,
)
from sentiment.data.table_config import TableConfig
from sentiment.data.tables import open_table
from sentiment.errors import DataError
from sentiment.scoring.drift import DriftConfig
from sentiment.settings import operational

NO_CSV = (pa.string_view(), pa.month_day_nano_interval())  # types that Arrow does not write there
OTHER = -2  # a label whose meaning is not known
SCORES = pa.schema(
    [
        ("row", pa.int64()),  # in the input file, from 0
        ("label", pa.string()),  # negative or positive; null in a row that cannot be scored
        ("probability", pa.float64()),  # that the review is positive
        ("reason", pa.string()),  # why a row cannot be scored
        ("given_label", pa.string()),  # the input's own label, if it has one
    ]
)


class ScoreConfig(TableConfig):
    """What to read of the files, and what to write of their scores."""

    threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        description="A review with at least this probability is positive; the model's own "
        "threshold if null.",
    )
    fast: bool = Field(
        False,
        description="Stop early at reviews of which a part of the model is sure, and use a CPU's "
        "instructions for bfloat16. This changes about one label in a thousand at most, and the "
        "probabilities.",
    )
    with_text: bool = Field(False, description="Also write the texts.")
    keep: tuple[str, ...] = Field((), description="Columns of a table to write beside the scores.")
    format: Literal["parquet", "csv", "jsonl"] = Field(
        "parquet", description="Format of the scores."
    )
    chunk_size: int = Field(50_000, ge=1, description="Rows per output file.")
    max_bytes: int = Field(262_144, ge=16, description="Do not score longer rows.")
    max_bad_rate: float = operational(
        0.1,
        ge=0,
        le=1,
        description="Fail, with all scores written, if a larger share of a file's rows has none.",
    )
    drift: DriftConfig = operational(
        DriftConfig(), description="When to warn that the reviews differ from the training reviews."
    )


class Entry(NamedTuple):
    """One row: its text, or the reason why it has none; its label; the values to keep.

    The label is 0 or 1, ``IGNORE``, ``OTHER``, or None. ``name`` is what the file calls it.
    """

    text: str | None
    reason: str | None
    label: int | None
    name: str = ""
    kept: tuple[Any, ...] = ()


class Input(NamedTuple):
    """A file's rows, to be read once, and the types of the columns to keep."""

    entries: Iterator[Entry]
    kept: pa.Schema


def open_input(path: Path, config: ScoreConfig) -> Input:
    """Open a file: every line of a text file, or row of a table, in order.

    A line may begin with a fastText label (``__label__1``), which is not part of its text. Kept
    columns have their type in Parquet, and are text in other files. Raises DataError at once for
    missing or ambiguous columns, and for a damaged file when the damage is reached.
    """
    if clash := [name for name in config.keep if name in (*SCORES.names, "text")]:
        raise DataError(
            f"{path}: the scores have a column {clash[0]!r} of their own, so it cannot be kept. "
            "Rename it in the file" + (", or use --with-text." if clash[0] == "text" else ".")
        )
    if twice := [name for name in config.keep if config.keep.count(name) > 1]:
        raise DataError(f"{path}: the column {twice[0]!r} is to be kept twice. Name it once.")
    table = open_table(path, config)
    if table is None:
        refuse_columns(path, config)
        return Input(_line_entries(path, config), pa.schema([]))
    columns = choose_columns(path, table, config, labelled=False, kept=config.keep)
    meanings = config.labels.meanings()
    texts = read_texts(table, columns, config.encoding, config.max_bytes)
    for name in columns.kept if config.format != "parquet" else ():
        if name in table.types and holds_bytes(table.types[name]):
            raise DataError(
                f"{path}: the column {name!r} holds bytes, which {config.format} cannot. Keep it "
                "with --format parquet."
            )
    kept = pa.schema([(n, _kept_type(table.types.get(n), config)) for n in columns.kept])
    return Input((_entry(row, meanings, kept) for row in texts), kept)


def holds_bytes(kind: pa.DataType) -> bool:
    """Return whether values of a type are bytes, or lists and the like of bytes."""
    if pa.types.is_dictionary(kind):
        return holds_bytes(kind.value_type)
    return (
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
        or any(holds_bytes(kind.field(n).type) for n in range(kind.num_fields))
    )


def _line_entries(path: Path, config: ScoreConfig) -> Iterator[Entry]:
    labels = line_labels(config.labels)
    for line in read_text(path, config.encoding):
        head, body = split_label(line)
        label, name = meaning_of(head, labels) if head else None, head.decode("utf-8", "replace")
        label = OTHER if head and label is None else label
        text = body.decode("utf-8", "surrogateescape")
        reason = why_unusable(text, len(line), config.max_bytes, config.encoding)
        yield Entry(None if reason else text, reason or None, label, name)


def _entry(row: TextRow, meanings: dict[str, int], kept: pa.Schema) -> Entry:
    name = label_name(row.label[0]) if row.label else ""
    label = meanings.get(name, OTHER) if name else None
    values = row.kept or (None,) * len(kept)
    texts = tuple(
        _as_text(value) if field.type == pa.string() else value
        for field, value in zip(kept, values, strict=True)
    )
    return Entry(row.text, row.reason or None, label, name, texts)


def _kept_type(kind: pa.DataType | None, config: ScoreConfig) -> pa.DataType:
    """Return the type of a column to keep; CSV files take text in place of some."""
    if kind is None or (config.format == "csv" and (pa.types.is_nested(kind) or kind in NO_CSV)):
        return pa.string()
    return kind


def _as_text(value: Any) -> str | None:
    """Return a value as text that can be written: JSON, if it is not text already."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text.encode("utf-8", "backslashreplace").decode()
