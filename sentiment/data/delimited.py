"""Records of CSV and TSV, each with its bytes; which character separates the fields."""

import csv
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from sentiment.errors import DataError

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
SAMPLE_LINES, SAMPLE_BYTES = 200, 1 << 20  # that tell the separator
MOST_LINES = 1_000  # of one record: more are taken for an unclosed quote


def take_sample(lines: Iterator[bytes]) -> list[bytes]:
    """Take the first lines of a file."""
    sample: list[bytes] = []
    size = 0
    for line in islice(lines, SAMPLE_LINES):
        sample.append(line)
        size += len(line)
        if size > SAMPLE_BYTES:
            break
    return sample


def find_separator(path: Path, sample: Sequence[bytes], quotes: bool) -> str:
    """Return the separator: the one that divides the first record, and the others as often.

    Commas in a text do not divide the names of the columns, or not each text into as many fields.
    Raises DataError if two separators fit as well.
    """
    fits: dict[str, float] = {}
    is_cut = len(sample) == SAMPLE_LINES or sum(map(len, sample)) > SAMPLE_BYTES
    for separator in SEPARATORS:
        first, *others = list(_fields(sample, separator, quotes)) or [[]]
        if len(first) > 1:
            if is_cut:  # perhaps inside the last record
                others = others[:-1]
            same = sum(len(fields) == len(first) for fields in others)
            fits[separator] = same / max(1, len(others))
    best = [separator for separator, fit in fits.items() if fit == max(fits.values())]
    if len(best) > 1:
        names = " or ".join(f"a {SEPARATORS[separator]}" for separator in best)
        raise DataError(f"{path}: {names} may separate its fields. Say which: --separator.")
    return best[0] if best else ","


def _fields(sample: Sequence[bytes], separator: str, quotes: bool) -> Iterator[list[str]]:
    lines = (line.decode("utf-8", "surrogateescape") + "\n" for line in sample)
    reader = _reader(lines, separator, quotes)
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield []


def _reader(lines: Iterator[str], separator: str, quotes: bool) -> Any:
    csv.field_size_limit(max(csv.field_size_limit(), 1 << 27))
    # Strict: otherwise a quote that is never closed joins its row with one that has a quote, too.
    if quotes:
        return csv.reader(lines, delimiter=separator, strict=True)
    return csv.reader(lines, delimiter=separator, quoting=csv.QUOTE_NONE, strict=True)


def read_records(
    path: Path, file_lines: Iterator[bytes], separator: str, quotes: bool
) -> Iterator[tuple[list[str] | None, bytes]]:
    """Yield each record's fields, None if they are not valid CSV, and its bytes.

    Raises DataError where a quote is not closed: it would take in the rows after it.
    """
    consumed: list[bytes] = []
    first, number, at_end = 1, 0, False  # lines: of the record, the last one read

    def unclosed() -> DataError:
        return DataError(
            f"{path}: line {first:,}: a quote is opened and not closed. Double the quotes inside a "
            "quoted field, or close it. If quotes are plain characters in this file, set quotes to "
            "false."
        )

    def lines() -> Iterator[str]:
        nonlocal number, at_end
        for number, line in enumerate(file_lines, 1):  # noqa: B007
            if len(consumed) == MOST_LINES:
                raise unclosed()
            consumed.append(line)
            yield line.decode("utf-8", "surrogateescape") + "\n"
        at_end = True

    reader = _reader(lines(), separator, quotes)
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
