"""Figures of the data, compared with the same ones computed from the stages' files."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentiment.text.tensors import EncodedReviews
from tasks.data_quality import PERCENTILES, data_quality, percentile
from tasks.run.spec import RunSpec
from tasks.stage import shards_of, split_of
from tests.support.reviews import good_lines, write_bz2
from tests.support.runs import run_plainly


def test_figures_are_those_of_the_files(tmp_path: Path, make_spec: Callable[..., RunSpec]) -> None:
    bad = [b"", b"no label", b"__label__2 ", b"__label__9 what"]
    write_bz2(tmp_path / "data" / "train.ft.txt.bz2", [*good_lines(61), *bad])
    write_bz2(tmp_path / "data" / "test.ft.txt.bz2", [*good_lines(20, start=100), b""])
    spec = make_spec(
        tmp_path / "data", "ingest.shard_size=25", "ingest.max_reject_rate=0.5",
        "vocabulary.min_count=3",
    )  # fmt: skip
    done = run_plainly(spec, until="tensors")

    quality = data_quality(done["ingest"], done["tensors"])

    assert quality["files"] == [
        {
            "name": "test.ft.txt.bz2",
            "read": 21,
            "ignored": 0,
            "repeated": 0,
            "rejected": {"empty line": 1},
        },
        {
            "name": "train.ft.txt.bz2",
            "read": 65,
            "ignored": 0,
            "repeated": 0,
            "rejected": {"empty line": 1, "empty text": 1, "no label": 1, "unknown label": 1},
        },
    ]
    assert [split["name"] for split in quality["splits"]] == ["train", "validation", "test"]
    for split in quality["splits"]:
        reviews = EncodedReviews.load(
            [
                spec.store.root / tensors.output("tensors.parquet").path
                for (_, shard), tensors in zip(
                    shards_of(done["ingest"]), done["tensors"], strict=True
                )
                if split_of(shard) == split["name"]
            ]
        )
        assert split["rows"] == len(reviews)
        assert split["tokens"] == reviews.words.sum()
        assert split["positive_share"] == pytest.approx(reviews.labels.mean())
        assert split["unknown_share"] == pytest.approx(reviews.unknown.sum() / reviews.words.sum())
        assert split["unknown_share"] > 0
        assert split["lengths"]["50%"] == np.percentile(reviews.words, 50, method="inverted_cdf")
        assert split["lengths"]["max"] == reviews.words.max()


@given(st.lists(st.integers(0, 40), min_size=1, max_size=300), st.sampled_from(PERCENTILES))
def test_percentiles_are_those_of_all_values(values: list[int], percent: int) -> None:
    found = percentile(Counter(values), percent)
    place = -(-percent * len(values) // 100) - 1
    assert found == sorted(values)[place]
