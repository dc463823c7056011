"""Which columns of a table hold the text and the label: those named, or those with a clear name."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sentiment.data.labels import WORDS
from sentiment.data.table_config import TableConfig
from sentiment.data.tables import Table, refuse_twice
from sentiment.errors import DataError

# The first names, or if there is none of them the second ones.
TEXT_NAMES = (
    ("text", "content"),
    ("review", "review_text", "reviewtext", "review_body", "body", "comment"),
)
TITLE_NAMES = (("title",), ("review_title", "review_headline", "headline"))
LABEL_NAMES = (("label",), ("sentiment", "stars", "star_rating", "rating"))
MOST_SHOWN, MOST_CHARACTERS = 20, 40
LONGEST_NAME = 5  # words: a header with more in a name is probably a row


class Columns(NamedTuple):
    """Names of columns: of the texts to join, of the label, and of those to keep."""

    texts: list[str]
    label: str | None
    kept: list[str]

    @property
    def all(self) -> list[str]:
        return [*self.texts, *([self.label] if self.label else []), *self.kept]


def choose_columns(
    path: Path, table: Table, config: TableConfig, *, labelled: bool, kept: Sequence[str] = ()
) -> Columns:
    """Return the columns to read. Raises DataError for missing ones, or if two fit as well.

    ``labelled`` says that there must be a label column; otherwise there is one only if it is named.
    """
    texts = [_present(path, table, config, name) for name in config.columns]
    label = None
    if config.label_column:
        label = _present(path, table, config, config.label_column)
    elif labelled:
        label = _only(path, table, LABEL_NAMES)
    if not texts:
        texts = _text_columns(path, table, only=not labelled)
    missing = [
        *(["the text (--column, repeated to join several)"] if not texts else []),
        *(["the label (--label-column)"] if labelled and not label else []),
    ]
    if missing:
        raise DataError(
            f"{path}: which column holds {' and '.join(missing)}? It has {shown(table.columns)}."
            f"{_no_header(table, config)}"
        )
    return Columns(texts, label, [_present(path, table, config, name) for name in kept])


def _text_columns(path: Path, table: Table, *, only: bool) -> list[str]:
    """Return the title and the text; ``only`` allows a table's only column."""
    text = _only(path, table, TEXT_NAMES)
    if text:
        title = _only(path, table, TITLE_NAMES)
        return [title, text] if title else [text]
    alone = only and len(table.columns) == 1 and not is_row(table)
    return list(table.columns) if alone else []


def _only(path: Path, table: Table, names: Sequence[Sequence[str]]) -> str | None:
    """Return the column with one of the names, in any case; None if there is none, or several."""
    present = [name.strip().lower() for name in table.columns]
    for group in names:
        found = [name for name in group if name in present]
        refuse_twice(path, present, found)
        if found:
            return table.columns[present.index(found[0])] if len(found) == 1 else None
    return None


def _present(path: Path, table: Table, config: TableConfig, name: str) -> str:
    if name not in table.columns:
        raise DataError(
            f"{path}: no column {name!r}. It has {shown(table.columns)}.{_no_header(table, config)}"
        )
    refuse_twice(path, table.columns, [name])
    return name


def is_row(table: Table) -> bool:
    """Return whether a header looks like a row: with a number, a label or a sentence in it."""
    return table.has_header and any(
        re.fullmatch(r"[+-]?\d+(\.\d*)?", name)
        or name.lower() in WORDS
        or len(name.split()) > LONGEST_NAME
        or len(name) > 2 * MOST_CHARACTERS
        for name in table.columns
    )


def _no_header(table: Table, config: TableConfig) -> str:
    if not is_row(table):
        return ""
    return (
        " Its first row looks like data: is there no header? If so, add "
        f"--set {config.SECTION}header=false, and name the columns by their numbers, from 1."
    )


def shown(names: Sequence[str]) -> str:
    """Return names of columns as they can be printed, '' for none, cut if they are long."""
    cut = [
        (name if len(name) <= MOST_CHARACTERS else f"{name[:MOST_CHARACTERS]}...") or "''"
        for name in names[:MOST_SHOWN]
    ]
    text = ", ".join(cut) + f" and {len(names) - MOST_SHOWN:,} more" * (len(names) > MOST_SHOWN)
    return text.encode("utf-8", "backslashreplace").decode() or "none"
