"""Reading texts to score from files, labelled or not, including rows that cannot be scored."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from sentiment.data.archives import read_lines
from sentiment.data.reviews import BYTE_ORDER_MARK, CLASSES, LABELS, joined, why_unusable
from sentiment.data.tables import Table, open_table, refuse_twice
from sentiment.errors import DataError
from sentiment.scoring.drift import DriftConfig
from sentiment.settings import Settings, operational

OTHER = -1  # a label that is neither negative nor positive


class ScoreConfig(Settings):
    """What to read of the files, and what to write of their scores."""

    columns: tuple[str, ...] = Field(
        (), description="Text columns of a table, joined in this order."
    )
    label_column: str | None = Field(None, description="Label column of a table.")
    labels: tuple[int | str, int | str] = Field(
        (0, 1), description="The values for negative and positive in the label column."
    )
    threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        description="A review with at least this probability is positive; the model's own "
        "threshold if null.",
    )
    with_text: bool = Field(False, description="Also write the texts.")
    chunk_size: int = Field(50_000, ge=1, description="Rows per output file.")
    max_bytes: int = Field(262_144, ge=16, description="Do not score longer rows.")
    drift: DriftConfig = operational(
        DriftConfig(), description="When to warn that the reviews differ from the training reviews."
    )


class Entry(NamedTuple):
    """One row: its text, or the reason why it has none; its label 0 or 1, ``OTHER``, or None."""

    text: str | None
    reason: str | None
    label: int | None


def read_entries(path: Path, config: ScoreConfig) -> Iterator[Entry]:
    """Yield every line of a text file, or row of a table, in order.

    A line may begin with a fastText label (``__label__1``), which is not part of its text. Raises
    DataError at once for missing or ambiguous columns, and for a damaged file when the damage is
    reached.
    """
    table = open_table(path)
    if table is not None:
        columns = _text_columns(path, table.columns, config.columns)
        return _rows(table, columns, _label_column(path, table.columns, config), config)
    if config.columns or config.label_column:
        raise DataError(f"{path}: has lines and no columns. Remove the column options.")
    return (_line(line, config.max_bytes) for line in _without_mark(read_lines(path)))


def _without_mark(lines: Iterator[bytes]) -> Iterator[bytes]:
    for first in lines:
        yield first.removeprefix(BYTE_ORDER_MARK)
        break
    yield from lines


def _line(line: bytes, max_bytes: int) -> Entry:
    label, body = None, line
    if line.startswith(b"__label__"):
        head, *rest = line.split(maxsplit=1)
        label, body = LABELS.get(head, OTHER), rest[0] if rest else b""
    return _entry(body.decode("utf-8", "surrogateescape"), len(line), max_bytes, label)


def _entry(text: str, size: int, max_bytes: int, label: int | None) -> Entry:
    reason = why_unusable(text, size, max_bytes)
    return Entry(None, reason, label) if reason else Entry(text, None, label)


def _rows(
    table: Table, columns: list[str], label_column: str | None, config: ScoreConfig
) -> Iterator[Entry]:
    classes = CLASSES | {str(name).lower(): number for number, name in enumerate(config.labels)}
    for record in table.read([*columns, *([label_column] if label_column else [])]):
        if record.values is None:
            yield Entry(None, record.fault, None)
            continue
        parts = record.values[: len(columns)]
        label = _label(record.values[-1], classes) if label_column else None
        if all(part is None for part in parts):
            yield Entry(None, "null", label)
        elif not all(isinstance(part, str | None) for part in parts):
            yield Entry(None, "not text", label)
        else:
            yield _entry(joined(parts), len(record.raw), config.max_bytes, label)


def _label(value: object, classes: dict[str, int]) -> int | None:
    """Return a label's class, None for a null or empty one."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # as pandas writes integers in a column with nulls
    name = str(value).strip().lower()
    if value is None or not name or (isinstance(value, float) and math.isnan(value)):
        return None
    return classes.get(name, OTHER)


def _text_columns(path: Path, present: Sequence[str], wanted: Sequence[str]) -> list[str]:
    if wanted:
        return [_present(path, present, name) for name in wanted]
    named = {name.lower(): name for name in reversed(present)}
    texts = [named[name] for name in ("text", "content") if name in named]
    if len(texts) == 1:  # as `sentiment run` reads such a table
        columns = [*([named["title"]] if "title" in named else []), texts[0]]
        refuse_twice(path, [name.lower() for name in present], [name.lower() for name in columns])
        return columns
    if len(present) == 1 and not texts:
        return list(present)
    raise DataError(
        f"{path}: which column holds the text? It has {', '.join(present) or 'none'}. "
        "Name it with --column (repeat to join several)."
    )


def _label_column(path: Path, present: Sequence[str], config: ScoreConfig) -> str | None:
    return _present(path, present, config.label_column) if config.label_column else None


def _present(path: Path, present: Sequence[str], name: str) -> str:
    if name not in present:
        raise DataError(f"{path}: no column {name!r}. It has {', '.join(present) or 'none'}.")
    refuse_twice(path, present, [name])
    return name
