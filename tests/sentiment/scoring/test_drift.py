"""Profiles count as plain loops do, and distances are those of the textbooks."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentiment.model.profile import LONGEST, Profile
from sentiment.scoring.drift import DriftConfig, drift, stability_index

Reviews = list[tuple[bool, int, int]]
REVIEWS = st.lists(
    st.tuples(st.booleans(), st.integers(1, 2 * LONGEST), st.integers(0, 50)), min_size=1
)


def profile_of(reviews: Reviews) -> Profile:
    positive, words, unknown = zip(*reviews, strict=True)
    return Profile.of(np.array(positive), np.array(words, np.int32), np.array(unknown, np.int32))


@given(REVIEWS)
def test_a_profile_counts_as_loops_do(reviews: Reviews) -> None:
    profile = profile_of(reviews)
    assert profile.reviews == len(reviews)
    assert profile.positive == sum(positive for positive, _, _ in reviews)
    assert profile.words == sum(words for _, words, _ in reviews)
    assert profile.unknown == sum(unknown for _, _, unknown in reviews)
    for length, count in enumerate(profile.lengths):
        assert count == sum(min(words, LONGEST) == length for _, words, _ in reviews)
    ordered = sorted(min(words, LONGEST) for _, words, _ in reviews)
    for share in (0.1, 0.5, 0.9):
        expected = np.percentile(ordered, 100 * share, method="inverted_cdf")
        assert profile.quantile(share) == expected


@given(REVIEWS, REVIEWS)
def test_profiles_add_up(one: Reviews, other: Reviews) -> None:
    assert profile_of(one) + profile_of(other) == profile_of(one + other)
    assert profile_of(one) + Profile() == profile_of(one)


@given(REVIEWS, st.integers(2, 9))
def test_the_same_distribution_has_no_distance(reviews: Reviews, times: int) -> None:
    one, more = profile_of(reviews), profile_of(reviews * times)
    assert stability_index(one.lengths, more.lengths) == pytest.approx(0, abs=1e-12)
    assert drift(one, more, DriftConfig())["warnings"] == []


@given(REVIEWS, REVIEWS)
def test_the_index_is_a_finite_distance(one: Reviews, other: Reviews) -> None:
    index = stability_index(profile_of(one).lengths, profile_of(other).lengths)
    assert 0 <= index < 20


def test_the_index_of_a_hand_made_case() -> None:
    # Ten lengths of equal share, one bin each; the other set has no more than the first five.
    expected, actual = [1] * 10, [2] * 5
    index = stability_index(expected, actual)
    by_hand = 5 * (0.2 - 0.1) * math.log(2) + 5 * (1e-4 - 0.1) * math.log(1e-4 / 0.1)
    assert index == pytest.approx(by_hand)


@pytest.mark.parametrize(
    "limits, names",
    [
        ({}, {"are scored positive", "lengths differ", "unknown to the model"}),
        ({"label_share": 1}, {"lengths differ", "unknown to the model"}),
        ({"label_share": 1, "length_psi": 99, "unknown_share": 1}, set()),
    ],
)
def test_exceeded_limits_give_warnings(limits: dict[str, float], names: set[str]) -> None:
    training = profile_of([(n % 2 == 0, 50 + n, 0) for n in range(100)])
    scored = profile_of([(True, 5 + n % 3, 4) for n in range(100)])
    measured = drift(training, scored, DriftConfig.model_validate(limits))
    assert len(measured["warnings"]) == len(names)
    assert all(any(name in warning for warning in measured["warnings"]) for name in names)
    assert not any("[" in warning for warning in measured["warnings"])
    assert measured["label_share"]["distance"] == pytest.approx(0.5)
