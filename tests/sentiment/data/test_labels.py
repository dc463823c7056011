"""What labels mean: any values, obvious words, and no number that may mean something else."""

import shlex
from collections import Counter
from decimal import Decimal
from math import nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from flows.config.presets import load_config
from sentiment.data.labels import (
    IGNORE,
    MOST_VALUES,
    NEGATIVE,
    POSITIVE,
    Labels,
    are_doubtful,
    count_label,
    describe_labels,
    label_name,
)

STARS = "{negative: [1, 2], positive: [4, 5], ignore: [3]}"


def meaning(value: Any, **labels: Any) -> int | None:
    return Labels.model_validate(labels).meanings().get(label_name(value))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0, 0.0, "0", "0,0", " 0.0 ", "0.", "00", False, "FALSE", "neg", "Negative"), NEGATIVE),
        ((1, 1.0, "1", "1.00", "+1", True, "True", "POS", " positive ", Decimal("1.0")), POSITIVE),
        ((None, nan, "", " ", 0.5, "0.5", 2, -1, "1.5", "yes", "positiv", b"1"), None),
    ],
)
def test_obvious_labels_need_no_setting(values: tuple[Any, ...], expected: int | None) -> None:
    assert {meaning(value) for value in values} == {expected}


def test_values_may_be_of_any_type_and_one_needs_no_list() -> None:
    labels = {"negative": ["Bad", 1, 1.5], "positive": True, "ignore": "3"}
    found = {value: meaning(value, **labels) for value in ("bad", 1.0, "1.5", "TRUE", 3, "3.0")}
    assert found == {"bad": 0, 1.0: 0, "1.5": 0, "TRUE": 1, 3: IGNORE, "3.0": IGNORE}


def test_given_values_replace_the_plain_ones_and_never_the_words() -> None:
    labels = {"negative": [1, 2], "positive": [4, 5]}
    values = (0, 1, "false", "true", "neg", "positive")
    assert [meaning(value, **labels) for value in values] == [None, 0, None, None, 0, 1]
    assert [meaning(value, ignore=[2]) for value in (0, 1, 2)] == [0, 1, IGNORE]


@given(st.integers(-(10**17), 10**17))
def test_an_integer_has_one_name_however_it_is_written(number: int) -> None:
    written = [number, str(number), f" {number}.0 ", f"{number}.", float(number)]
    if float(number) == number:
        assert {label_name(value) for value in written} == {str(number)}


@pytest.mark.parametrize(
    ("labels", "fault"),
    [
        ([1, 5], "write which are which"),
        ({"negative": [1]}, "values for both"),
        ({"negative": [1, 2], "positive": [2.0, 3]}, "2 is given twice"),
        ({"negative": [1], "positive": [5], "ignore": ["1"]}, "1 is given twice"),
        ({"negative": [""], "positive": [1]}, "an empty value"),
    ],
)
def test_what_cannot_be_meant_is_refused(labels: Any, fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        Labels.model_validate(labels)


@pytest.mark.parametrize(
    ("found", "doubtful"),
    [
        (["0", "1"], False),
        (["1", "true", "pos", "maybe"], False),
        (["1", "2"], True),
        (["0", "1", "-1"], True),
        (["0", "0.5", "1"], True),
    ],
)
def test_other_numbers_put_0_and_1_in_doubt(found: list[str], doubtful: bool) -> None:
    assert are_doubtful(found, Labels()) is doubtful
    assert not are_doubtful(found, Labels(negative=(1,), positive=(5,)))


@pytest.mark.parametrize(
    ("found", "proposed"),
    [
        (["1", "2", "3", "4", "5"], STARS),
        (["1", "3", "4"], STARS),
        (["5", "4"], STARS),
        (["1", "5"], "{negative: [1], positive: [5]}"),
        (["1", "2"], "{negative: [1], positive: [2]}"),
        (["-1", "0", "1"], "{negative: [-1], positive: [1], ignore: [0]}"),
        (["0", "4"], "{negative: [0], positive: [4]}"),
        (["0", "1", "2", "3", "4"], "{negative: [0, 1], positive: [3, 4], ignore: [2]}"),
        (
            list(map(str, range(1, 11))),
            "{negative: [1, 2, 3, 4], positive: [7, 8, 9, 10], ignore: [5, 6]}",
        ),
        (["bad", "good"], "{negative: [bad], positive: [good]}"),
        (["", "0", "1"], '{negative: [0], positive: [1], ignore: [""]}'),
        (["0", "1", "nan"], '{negative: [0], positive: [1], ignore: ["nan"]}'),
        (["1 star", "5 stars"], '{negative: ["1 star"], positive: ["5 stars"]}'),
        (
            ["negative", "neutral", "positive"],
            "{negative: [negative], positive: [positive], ignore: [neutral]}",
        ),
        (["good \u2014 it's", "bad"], '{negative: [bad], positive: ["good \u2014 it\'s"]}'),
    ],
)
def test_the_option_to_paste_reads_all_labels(found: list[str], proposed: str) -> None:
    message = describe_labels(dict.fromkeys(found, 1_500), Labels(), "ingest.")
    assert all(f"{name!r} (1,500)" in message for name in found)
    option = message.partition("--set ")[2]
    assert shlex.split(option) == [f"ingest.labels={proposed}"]
    meanings = load_config("sample", shlex.split(option)).ingest.labels.meanings()
    assert all(name in meanings for name in found)
    assert not are_doubtful(found, load_config("sample", shlex.split(option)).ingest.labels)


def test_a_few_strays_among_known_labels_are_to_be_ignored() -> None:
    message = describe_labels({"0": 600, "1": 500, "2": 1}, Labels(), "")
    assert message.endswith("--set 'labels={negative: [0], positive: [1], ignore: [2]}'")


def test_unknown_words_are_not_guessed() -> None:
    message = describe_labels({"returned": 5, "kept": 7}, Labels(), "")
    assert "'kept' (7), 'returned' (5)" in message
    assert "each in its place: --set 'labels={negative: [...]" in message


def test_a_column_of_many_values_is_no_label() -> None:
    found: Counter[str] = Counter()
    for number in range(5_000):
        count_label(f"review {number % 1_000}", found)
    assert len(found) == MOST_VALUES and set(found.values()) == {5}
    message = describe_labels(found, Labels(), "")
    assert "and 88 others" in message and "--label-column" in message
