"""Tokens as ids in one flat array, against plain loops and slices."""

import math
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentiment.text.tensors import (
    DTYPES,
    ENCODED,
    EncodedReviews,
    TensorsConfig,
    cut_reviews,
    encode_shard,
    offsets_of,
    on_disk,
)
from sentiment.text.vocabulary import SPECIAL, UNKNOWN, VOCABULARY
from tests.support.reviews import write_tokens

KNOWN = ("the", "lamp", "works", "again")
IDS = {word: number for number, word in enumerate(KNOWN, len(SPECIAL))}

Tokens = list[list[str]]
token_lists = st.lists(
    st.lists(st.sampled_from([*KNOWN, "breaks", "_PAD", ""]), max_size=7), max_size=6
)


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = [*SPECIAL, *KNOWN]
    path = tmp_path_factory.mktemp("vocabulary") / "vocabulary.parquet"
    pq.write_table(pa.table([words, [9] * len(words)], schema=VOCABULARY), path)
    return path


def encoded(
    folder: Path, vocabulary: Path, tokens: Tokens, max_length: int = 200
) -> tuple[dict[str, Any], Path]:
    """Encode reviews with rows 5, 8, 11, ... and changing labels; return stats and file."""
    reviews = [(5 + 3 * n, n % 2, words) for n, words in enumerate(tokens)]
    shard = write_tokens(folder / "tokens.parquet", reviews)
    config = TensorsConfig(max_length=max_length)
    stats = encode_shard(shard, vocabulary, tensors=config, out=folder)
    return stats, folder / "tensors.parquet"


def reviews_of(tensors: EncodedReviews) -> list[list[int]]:
    """Cut the flat ids at their offsets."""
    ends = tensors.offsets.tolist()
    return [tensors.ids[ends[n] : ends[n + 1]].tolist() for n in range(len(tensors))]


@settings(max_examples=60)
@given(tokens=token_lists, max_length=st.integers(1, 8))
def test_a_shard_is_encoded_as_by_a_plain_loop(
    tmp_path_factory: pytest.TempPathFactory, vocabulary: Path, tokens: Tokens, max_length: int
) -> None:
    folder = tmp_path_factory.mktemp("shard")
    stats, path = encoded(folder, vocabulary, tokens, max_length)
    tensors = EncodedReviews.load([path])

    ids = [[IDS.get(word, UNKNOWN) for word in words] for words in tokens]
    assert reviews_of(tensors) == [review[:max_length] for review in ids]
    assert tensors.labels.tolist() == [n % 2 for n in range(len(tokens))]
    assert tensors.rows.tolist() == [5 + 3 * n for n in range(len(tokens))]
    # Both count the whole review, what is cut off included.
    assert tensors.words.tolist() == [len(words) for words in tokens]
    assert tensors.unknown.tolist() == [review.count(UNKNOWN) for review in ids]
    assert tensors.lengths.tolist() == [min(len(words), max_length) for words in tokens]
    assert stats == {
        "rows": len(tokens),
        "tokens": sum(map(len, tokens)),
        "unknown": sum(review.count(UNKNOWN) for review in ids),
        "lengths": {str(n): count for n, count in Counter(map(len, tokens)).items()},
    }


def test_files_have_the_promised_types(tmp_path: Path, vocabulary: Path) -> None:
    _, path = encoded(tmp_path, vocabulary, [["the", "lamp"], [], ["x"]])
    assert pq.read_schema(path).equals(ENCODED)
    loaded = EncodedReviews.load([path])
    assert {name: getattr(loaded, name).dtype for name in DTYPES} == DTYPES


@settings(max_examples=40)
@given(shards=st.lists(token_lists, min_size=1, max_size=4))
def test_shards_join_back_in_the_order_given(
    tmp_path_factory: pytest.TempPathFactory, vocabulary: Path, shards: list[Tokens]
) -> None:
    paths = [encoded(tmp_path_factory.mktemp("shard"), vocabulary, tokens)[1] for tokens in shards]
    joined = EncodedReviews.load(paths)
    single = [EncodedReviews.load([path]) for path in paths]
    assert len(joined) == sum(map(len, shards))
    assert reviews_of(joined) == [review for each in single for review in reviews_of(each)]
    for name in ("labels", "rows", "words", "unknown"):
        assert getattr(joined, name).tolist() == [
            value for each in single for value in getattr(each, name).tolist()
        ]


@settings(max_examples=40)
@given(shards=st.lists(token_lists, min_size=1, max_size=4))
def test_shards_on_disk_are_those_in_memory(
    tmp_path_factory: pytest.TempPathFactory, vocabulary: Path, shards: list[Tokens]
) -> None:
    paths = [encoded(tmp_path_factory.mktemp("shard"), vocabulary, tokens)[1] for tokens in shards]
    folder = tmp_path_factory.mktemp("disk")
    in_memory = EncodedReviews.load(paths)

    def check(mapped: EncodedReviews) -> None:
        for name, dtype in DTYPES.items():
            array = getattr(mapped, name)
            assert array.dtype == dtype
            assert array.tolist() == getattr(in_memory, name).tolist()

    on_disk(paths, folder, check)
    assert not list(folder.iterdir())


def test_a_saved_file_loads_unchanged(tmp_path: Path, vocabulary: Path) -> None:
    _, path = encoded(tmp_path, vocabulary, [["the", "lamp"], [], ["x"]])
    loaded = EncodedReviews.load([path])
    loaded.save(tmp_path / "again.parquet")
    assert (tmp_path / "again.parquet").read_bytes() == path.read_bytes()


def test_tokens_in_several_row_groups_are_one_shard(tmp_path: Path, vocabulary: Path) -> None:
    tokens = [["the"], [], ["lamp", "x"], ["works"], ["x", "again"]]
    _, path = encoded(tmp_path, vocabulary, tokens)
    whole = path.read_bytes()
    shard = tmp_path / "tokens.parquet"
    pq.write_table(pq.read_table(shard), shard, row_group_size=2)
    encode_shard(shard, vocabulary, tensors=TensorsConfig(), out=tmp_path)
    assert path.read_bytes() == whole


@given(
    lengths=st.lists(st.integers(0, 6), max_size=8),
    max_length=st.integers(1, 7),
    cut=st.sampled_from(["end", "middle"]),
)
def test_cutting_is_slicing(
    lengths: list[int], max_length: int, cut: Literal["end", "middle"]
) -> None:
    reviews = [[100 * n + place for place in range(length)] for n, length in enumerate(lengths)]
    flat = np.array([number for review in reviews for number in review], dtype=np.int32)
    tensors = TensorsConfig(max_length=max_length, cut=cut)
    ids, offsets = cut_reviews(flat, offsets_of(np.array(lengths, dtype=np.int64)), tensors)
    assert ids.dtype == np.int32
    assert offsets.dtype == np.int64
    assert [ids[offsets[n] : offsets[n + 1]].tolist() for n in range(len(reviews))] == [
        shortened(review, max_length, cut) for review in reviews
    ]
    assert offsets[-1] == len(ids)
    words = [str(number) for number in flat]
    assert tensors.kept(words) == shortened(words, max_length, cut)


def shortened(review: list[Any], max_length: int, cut: str) -> list[Any]:
    """Take from the middle, or the end, one by one; the start keeps the odd one."""
    left = list(review)
    while len(left) > max_length:
        del left[math.ceil(max_length / 2) if cut == "middle" else -1]
    return left


@given(st.lists(st.integers(0, 1_000)))
def test_offsets_are_running_sums_from_0(lengths: list[int]) -> None:
    expected = [sum(lengths[:n]) for n in range(len(lengths) + 1)]
    assert offsets_of(np.array(lengths, dtype=np.int32)).tolist() == expected


def test_offsets_pass_two_billion_tokens() -> None:
    lengths = np.array([2**31 - 1, 2**31 - 1], dtype=np.int32)
    assert offsets_of(lengths).tolist() == [0, 2**31 - 1, 2**32 - 2]


def test_the_same_shard_gives_the_same_bytes(tmp_path: Path, vocabulary: Path) -> None:
    tokens = [["the", "lamp"], [], ["x", "works"]]
    files = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        files.append(encoded(tmp_path / name, vocabulary, tokens)[1])
    assert files[0].read_bytes() == files[1].read_bytes()
