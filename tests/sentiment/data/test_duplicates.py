"""Duplicates within and between splits, beside plain sets of texts."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentiment.data.duplicates import count_duplicates, text_hash
from tests.support.reviews import write_reviews

SPLITS = ("train", "validation", "test")
texts = st.lists(st.sampled_from([f"text {n}" for n in range(6)]), max_size=8)


@given(st.fixed_dictionaries({name: texts for name in SPLITS}), st.integers(1, 4))
def test_counts_are_those_of_plain_sets(
    tmp_path_factory: pytest.TempPathFactory, reviews: dict[str, list[str]], shard_size: int
) -> None:
    folder = tmp_path_factory.mktemp("reviews")
    shards = {
        name: [
            write_reviews(
                folder / f"{name}-{start:05d}.parquet",
                [(start + n, 0, text) for n, text in enumerate(own[start : start + shard_size])],
            )
            for start in range(0, len(own), shard_size)
        ]
        for name, own in reviews.items()
    }
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


def test_progress_counts_all_reviews(tmp_path: Path) -> None:
    shard = write_reviews(tmp_path / "train-00000.parquet", [(0, 1, "one"), (1, 0, "two")])
    seen: list[int] = []
    count_duplicates(
        [shard], [], [shard], out=tmp_path, progress=lambda done, *_, **__: seen.append(done)
    )
    assert seen == [2, 2, 4]
