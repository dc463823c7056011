"""Duplicates within and between splits, beside plain sets of texts."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentiment.data import duplicates
from sentiment.data.duplicates import count_duplicates, text_hash, text_hashes
from tests.support.reviews import write_hashes

SPLITS = ("train", "validation", "test")
texts = st.lists(st.sampled_from([f"text {n}" for n in range(6)]), max_size=8)


@pytest.mark.parametrize("part", [1, 3, duplicates.PART])
@given(st.fixed_dictionaries({name: texts for name in SPLITS}), st.integers(1, 4))
def test_counts_are_those_of_plain_sets(
    tmp_path_factory: pytest.TempPathFactory,
    part: int,
    reviews: dict[str, list[str]],
    shard_size: int,
) -> None:
    folder = tmp_path_factory.mktemp("reviews")
    shards = {
        name: [
            write_hashes(folder / f"{name}-{start:05d}.parquet", own[start : start + shard_size])
            for start in range(0, len(own), shard_size)
        ]
        for name, own in reviews.items()
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "PART", part)
        counts = count_duplicates(*(shards[name] for name in SPLITS), out=folder)
    assert json.loads((folder / "duplicates.json").read_bytes()) == counts
    assert counts == {
        name: {
            "rows": len(own),
            "repeated": len(own) - len(set(own)),
            "also_in": {
                other: sum(text in theirs for text in own)
                for other, theirs in reviews.items()
                if other != name
            },
        }
        for name, own in reviews.items()
    }


def test_case_and_white_space_make_no_other_text() -> None:
    assert text_hash("  A fine\tLamp \n") == text_hash("a fine lamp")
    assert text_hash("a fine lamp.") != text_hash("a fine lamp")
    assert text_hash("afine lamp") != text_hash("a fine lamp")


# Lower case of "İ" has two letters, and that of "Σ" depends on its place in the word.
odd = st.sampled_from(
    ["A", "a", " ", "  ", "\t", "\n", "\x1c", "\x7f", "\x85", "\xa0", "İ", "ΑΣ", "é"]
)


@given(st.lists(st.one_of(st.text(max_size=20), st.lists(odd, max_size=6).map("".join))))
def test_a_column_has_the_hashes_of_its_texts(texts: list[str]) -> None:
    column = pa.array(["before", *texts], pa.string())[1:]
    hashes = text_hashes(column)
    assert hashes.dtype == np.uint64
    assert hashes.tolist() == [text_hash(text) for text in texts]


def test_hashes_are_the_same_in_every_release() -> None:
    """They are stored: other ones would make equal texts look different."""
    assert (
        text_hash("A fine lamp")
        == text_hashes(pa.array(["a  fine lamp"]))[0]
        == 9117117551944640632
    )


def test_progress_counts_all_reviews(tmp_path: Path) -> None:
    shard = write_hashes(tmp_path / "hashes.parquet", ["one", "two"])
    seen: list[int] = []
    count_duplicates(
        [shard], [], [shard], out=tmp_path, progress=lambda done, *_, **__: seen.append(done)
    )
    assert seen == [2, 2, 4]
