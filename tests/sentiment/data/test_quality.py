"""Warnings about the reviews: which they are, and when there are none."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sentiment.data.quality import language_warning, repeated_warnings, unknown_warnings

ENGLISH = "the lamp is bright and it was cheap so i like it a lot but the shade of it broke"
GERMAN = "die lampe ist hell und sie war so gut aber der schirm ist in zwei teile zerfallen"


def write_vocabulary(path: Path, text: str, times: int) -> Path:
    words = text.split()
    kept = list(dict.fromkeys(words))
    counts = [times * words.count(word) for word in kept]
    pq.write_table(pa.table({"word": kept, "count": counts}), path)
    return path


@pytest.mark.parametrize(
    ("text", "times", "warned"),
    [(ENGLISH, 1_000, False), (GERMAN, 1_000, True), (GERMAN, 10, False)],
    ids=["English", "German", "too few words to say"],
)
def test_another_language_is_noticed(tmp_path: Path, text: str, times: int, warned: bool) -> None:
    warning = language_warning(write_vocabulary(tmp_path / "v.parquet", text, times))
    assert (warning is not None) == warned
    if warning:
        assert warning.startswith(
            "Only 5.9% of the training reviews' words are common English ones"
        )


def test_many_unknown_words_are_noticed() -> None:
    splits = [
        {"name": "train", "unknown_share": 0.2, "tokens": 9_000},
        {"name": "validation", "unknown_share": 0.9, "tokens": 20},  # too few to say
        {"name": "test", "unknown_share": 0.301, "tokens": 3_000},
    ]
    (warning,) = unknown_warnings(splits)
    assert warning.startswith("30.1% of the words of the test reviews are not in the vocabulary.")


def test_many_repeated_reviews_are_noticed() -> None:
    duplicates = {
        "train": {"rows": 1_626, "repeated": 1_355, "also_in": {}},
        "validation": {"rows": 0, "repeated": 0, "also_in": {}},
        "test": {"rows": 48, "repeated": 40, "also_in": {}},
    }
    first, second = repeated_warnings(duplicates)
    advice = ". ingest.duplicates=drop leaves out duplicates within a file."
    assert (
        first == f"1,355 of 1,626 training reviews (83.3%) are duplicates of an earlier one{advice}"
    )
    assert second.endswith(f"so the accuracy is less certain than its interval{advice}")
    assert repeated_warnings({"test": {"rows": 10, "repeated": 1, "also_in": {}}}) == []
