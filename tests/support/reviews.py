"""Reviews for the tests: generated lines, shards of each kind, and what a folder holds."""

import bz2
import os
import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sentiment.data.archives import read_blocks, split_lines, whole_lines
from sentiment.data.duplicates import HASHES, text_hash
from sentiment.data.reviews import REVIEWS, Batch, Ignored, Reject, Review, read_batches
from sentiment.data.table_config import TableConfig
from sentiment.progress import OnRead, ignore_share
from sentiment.text.tokenize import COUNTS, TOKENS

Lines = list[bytes]
Record = Review | Reject | Ignored

_THINGS = ("kettle", "lamp", "novel", "tent", "record", "blender", "puzzle", "scarf")
_PRAISE = ("lovely", "superb", "brilliant", "charming")
_BLAME = ("dreadful", "shoddy", "awful", "useless")


def good_lines(count: int, start: int = 0) -> Lines:
    """Return valid lines of both classes, all different, each with a word of its own."""
    words = ("awful", "great")
    return [
        f"__label__{n % 2 + 1} Number {n}: a {words[n % 2]} thing, called {letters(n)}".encode()
        for n in range(start, start + count)
    ]


def letters(number: int) -> str:
    """Spell a number in letters only, which cleaning leaves alone."""
    return "".join(chr(ord("k") + int(digit)) for digit in str(number))


def real_lines(split: str, count: int) -> Lines:
    """Return lines of real reviews (split: train or test); without any the test is skipped."""
    folder = os.environ.get("SENTIMENT_DATA")
    files = sorted(Path(folder).glob(f"*{split}*.bz2")) if folder else []
    if not files:
        pytest.skip("SENTIMENT_DATA names no folder with real reviews (*.bz2)")
    return list(islice(read_lines(files[0]), count))


def read_lines(path: Path) -> Iterator[bytes]:
    """Yield a file's lines without line ends."""
    return split_lines(whole_lines(path, read_blocks(path)))


def read_reviews(
    path: Path, config: TableConfig, *, max_bytes: int, on_read: OnRead = ignore_share
) -> Iterator[Record]:
    """Yield a file's rows, each as what it is."""
    return row_by_row(read_batches(path, config, max_bytes=max_bytes, every=1_000, on_read=on_read))


def row_by_row(batches: Iterable[Batch]) -> Iterator[Record]:
    first = 0
    for batch in batches:
        reviews = [Review(*row.values()) for row in batch.reviews.to_pylist()]
        known = {record.row: record for record in (*reviews, *batch.rejects)}
        assert len(known) == len(reviews) + len(batch.rejects)
        for row in range(first, first + batch.rows):
            yield known.pop(row, Ignored(row))
        assert not known
        first += batch.rows


def made_up_reviews(count: int, seed: int, mislabelled: float = 0.0) -> list[tuple[int, str]]:
    """Return labels and texts; a word of praise or blame decides, but for a share of wrong labels.

    Lengths vary from 6 to about 60 words.
    """
    chance = random.Random(seed)
    reviews = []
    for number in range(count):
        label = number % 2
        thing, verdict = chance.choice(_THINGS), chance.choice((_BLAME, _PRAISE)[label])
        filler = " and then some more" * chance.choice((0, 0, 1, 2, 12))
        text = f"The {thing}: number {number} of many, a {verdict} {thing}{filler}."
        reviews.append((1 - label if chance.random() < mislabelled else label, text))
    return reviews


def as_line(label: int, text: str) -> bytes:
    """Return a review as a line of a fastText file."""
    return f"__label__{label + 1} {text}".encode()


def write_bz2(path: Path, lines: Iterable[bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bz2.compress(b"".join(line + b"\n" for line in lines)))
    return path


def write_small_data(folder: Path) -> Path:
    """Write 60 training and 20 test reviews."""
    write_bz2(folder / "train.ft.txt.bz2", good_lines(60))
    write_bz2(folder / "test.ft.txt.bz2", good_lines(20, start=100))
    return folder


def write_reviews(path: Path, reviews: Sequence[tuple[int, int, str]]) -> Path:
    """Write a shard of reviews (row, label, text)."""
    return _write(path, reviews, REVIEWS)


def write_tokens(path: Path, reviews: Sequence[tuple[int, int, Sequence[str]]]) -> Path:
    """Write a shard of tokens (row, label, tokens)."""
    return _write(path, reviews, TOKENS)


def write_counts(path: Path, tokens: Sequence[str]) -> Path:
    """Write the counts of a shard whose tokens are these, by plain loops."""
    seen = list(dict.fromkeys(tokens))
    return _write(path, [(word, tokens.count(word), tokens.index(word)) for word in seen], COUNTS)


def write_hashes(path: Path, texts: Sequence[str]) -> Path:
    """Write the hashes of a shard with these texts, one by one."""
    return _write(path, [(text_hash(text),) for text in texts], HASHES)


def _write(path: Path, rows: Sequence[Sequence[Any]], schema: pa.Schema) -> Path:
    columns = [pa.array([row[at] for row in rows], field.type) for at, field in enumerate(schema)]
    pq.write_table(pa.table(columns, schema=schema), path)
    return path


def rows_of(path: Path) -> list[tuple[Any, ...]]:
    """Return a Parquet file's rows as tuples."""
    return [tuple(row.values()) for row in pq.read_table(path).to_pylist()]


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder, by relative path, with its bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
