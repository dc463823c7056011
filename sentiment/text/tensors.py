"""Stage ``tensors``: a shard of tokens becomes ids in one flat array, without padding."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import Field

from sentiment.progress import Progress, silent
from sentiment.settings import Settings
from sentiment.text.vocabulary import UNKNOWN, Vocabulary

ENCODED = pa.schema(
    [
        ("ids", pa.list_(pa.int32())),
        ("labels", pa.uint8()),
        ("rows", pa.int64()),
        ("words", pa.int32()),
        ("unknown", pa.int32()),
    ]
)


Result = TypeVar("Result")
Cut: TypeAlias = Literal["end", "middle"]

DTYPES = {
    "ids": np.int32,
    "offsets": np.int64,
    "labels": np.uint8,
    "rows": np.int64,
    "words": np.int32,
    "unknown": np.int32,
}


class TensorsConfig(Settings):
    """How much of a review the model reads."""

    max_length: int = Field(200, ge=1, le=65_536, description="Tokens kept of each review.")
    cut: Cut = Field(
        "end",
        description="What longer reviews lose. The last words often sum up a review, so middle "
        "keeps them.",
    )

    def kept(self, words: list[str]) -> list[str]:
        """Return the words that the model reads."""
        head, tail = ends(self.max_length, self.cut)
        cut_at = max(head, len(words) - tail)
        return words[:head] + words[cut_at:]


def ends(max_length: int, cut: Cut) -> tuple[int, int]:
    """Return how many tokens a longer review keeps: at its start, which has an odd one, and end."""
    tail = max_length // 2 if cut == "middle" else 0
    return max_length - tail, tail


@dataclass(frozen=True)
class EncodedReviews:
    """Reviews as concatenated ids: review ``i`` is ``ids[offsets[i]:offsets[i + 1]]``."""

    ids: npt.NDArray[np.int32]  # (tokens,)
    offsets: npt.NDArray[np.int64]  # (reviews + 1,)
    labels: npt.NDArray[np.uint8]  # (reviews,)
    rows: npt.NDArray[np.int64]  # (reviews,) the reviews' rows in their input file
    words: npt.NDArray[np.int32]  # (reviews,) tokens before cutting
    unknown: npt.NDArray[np.int32]  # (reviews,) unknown words among them
    file: Path | None = None  # which holds the ids, if they are mapped from it

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Number of ids of each review, shape (reviews,)."""
        return np.diff(self.offsets)

    def save(self, path: Path) -> None:
        """Write a Parquet file, a third of the arrays' size."""
        ids = pa.ListArray.from_arrays(pa.array(self.offsets, pa.int32()), pa.array(self.ids))
        columns = [ids, *(pa.array(getattr(self, name)) for name in ENCODED.names[1:])]
        pq.write_table(
            pa.table(columns, schema=ENCODED),
            path,
            compression="zstd",
            use_dictionary=False,
            column_encoding={"ids.list.element": "BYTE_STREAM_SPLIT"},  # most high bytes are 0
            write_statistics=False,
        )

    @classmethod
    def load(cls, paths: Sequence[Path]) -> "EncodedReviews":
        """Read shards into memory and join them in the order given."""
        return cls(**_arrays(pa.concat_tables(pq.read_table(path) for path in paths)))

    @classmethod
    def mapped(cls, folder: Path) -> "EncodedReviews":
        """Map the files of :func:`join_shards`, so that all processes share the memory."""
        arrays: dict[str, Any] = {name: _mapped(folder / name) for name in DTYPES}
        return cls(**arrays, file=folder / "ids")


def on_disk(
    paths: Sequence[Path], parent: Path, work: Callable[[EncodedReviews], Result]
) -> Result:
    """Join shards in files under ``parent``, and return what ``work`` makes of the reviews.

    It must not return the arrays: the files are removed in the end, and a network share keeps a
    file that is still mapped.
    """
    with TemporaryDirectory(prefix=".encoded-", dir=parent) as folder:
        join_shards(paths, Path(folder) / "joined")
        return work(EncodedReviews.mapped(Path(folder) / "joined"))


def join_shards(paths: Sequence[Path], folder: Path) -> None:
    """Join shards, in the order given, into one file for each array of ``EncodedReviews``.

    It holds one shard in memory at a time.
    """
    folder.mkdir()
    with ExitStack() as stack:
        files = {name: stack.enter_context((folder / name).open("wb")) for name in DTYPES}
        files["offsets"].write(np.zeros(1, np.int64).data)
        tokens = 0
        for path in paths:
            arrays = _arrays(pq.read_table(path))
            arrays["offsets"] = tokens + arrays["offsets"][1:]
            tokens += len(arrays["ids"])
            for name, array in arrays.items():
                files[name].write(array.data)  # tofile() says nothing of a full disk


def _arrays(table: pa.Table) -> dict[str, Any]:
    lengths = pc.list_value_length(table["ids"]).to_numpy()
    return {
        "ids": pc.list_flatten(table["ids"]).to_numpy(),
        "offsets": offsets_of(lengths),
        **{name: table[name].to_numpy() for name in ENCODED.names[1:]},
    }


def _mapped(file: Path) -> npt.NDArray[Any]:
    dtype = DTYPES[file.name]
    return np.memmap(file, dtype, "r") if file.stat().st_size else np.empty(0, dtype)


def offsets_of(lengths: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return where each run starts, and where the last ends, shape (runs + 1,)."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def cut_reviews(
    ids: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64], tensors: TensorsConfig
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Cut the reviews that are too long; return the new ids and offsets."""
    lengths = np.diff(offsets)
    head, tail = ends(tensors.max_length, tensors.cut)
    kept = np.ones(len(ids), np.bool_)
    for review in np.flatnonzero(lengths > tensors.max_length).tolist():
        kept[offsets[review] + head : offsets[review + 1] - tail] = False
    return ids[kept], offsets_of(np.minimum(lengths, tensors.max_length))


def encode_words(
    lists: pa.ListArray,
    vocabulary: Vocabulary,
    tensors: TensorsConfig,
    *,
    labels: npt.NDArray[np.uint8],
    rows: npt.NDArray[np.int64],
) -> EncodedReviews:
    """Turn each review's words into ids; ``lists`` holds no nulls, best dictionary-coded words."""
    words = pc.list_value_length(lists).to_numpy(zero_copy_only=False).astype(np.int32)
    all_ids = vocabulary.encode(lists.flatten())
    offsets = offsets_of(words)
    review = np.searchsorted(offsets, np.flatnonzero(all_ids == UNKNOWN), side="right") - 1
    unknown = np.bincount(review, minlength=len(words))
    ids, cut_offsets = cut_reviews(all_ids, offsets, tensors)
    return EncodedReviews(
        ids=ids,
        offsets=cut_offsets,
        labels=labels,
        rows=rows,
        words=words,
        unknown=unknown.astype(np.int32),
    )


def encode_shard(
    tokens: Path,
    vocabulary: Path,
    *,
    tensors: TensorsConfig,
    out: Path,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write ``tensors.parquet`` (see ``EncodedReviews``) into ``out``.

    Returns the numbers of reviews, of tokens, of unknown words among them, and of reviews of each
    length in tokens before cutting.
    """
    table = pq.read_table(tokens, read_dictionary=["tokens.list.element"])
    words = table["tokens"].combine_chunks()
    encoded = encode_words(
        words,
        Vocabulary.load(vocabulary),
        tensors,
        labels=table["label"].to_numpy().astype(np.uint8),
        rows=table["row"].to_numpy(),
    )
    encoded.save(out / "tensors.parquet")
    progress(len(encoded), len(encoded))
    lengths, reviews = np.unique(encoded.words, return_counts=True)
    return {
        "rows": len(encoded),
        "tokens": int(encoded.words.sum()),
        "unknown": int(encoded.unknown.sum()),
        "lengths": {str(length): int(n) for length, n in zip(lengths, reviews, strict=True)},
    }
