"""Comparisons of two classifiers beside plain enumeration."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import fisher_exact

from sentiment.evaluation.ablation import ablation, early_exit_effect
from sentiment.evaluation.comparison import compare, fisher, linear_would_do, mcnemar
from sentiment.evaluation.metrics import measure
from sentiment.model.inference import FastScores, probabilities


@pytest.mark.parametrize("trials", range(9))
def test_p_counts_the_splits_that_are_as_uneven(trials: int) -> None:
    for gained in range(trials + 1):
        distance = abs(2 * gained - trials)
        splits = [abs(2 * sum(heads) - trials) for heads in product((0, 1), repeat=trials)]
        expected = sum(split >= distance for split in splits) / len(splits)
        assert mcnemar(gained, trials - gained) == pytest.approx(expected, rel=1e-12)


def test_p_of_many_reviews() -> None:
    assert mcnemar(5_000, 5_000) == 1
    # The normal approximation: twice the tail beyond (5,100 - 4,900 - 1) / 100.
    assert mcnemar(5_100, 4_900) == pytest.approx(0.0466, abs=2e-4)
    assert 0 <= mcnemar(20_000, 0) < 1e-300


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1))
def test_comparing_counts_who_alone_was_right(pairs: list[tuple[bool, bool]]) -> None:
    one, other = (np.array(column) for column in zip(*pairs, strict=True))
    found = compare(one, other)
    assert found["gained"] == pairs.count((True, False))
    assert found["lost"] == pairs.count((False, True))
    assert found["difference"] == pytest.approx(one.mean() - other.mean())
    turned = compare(other, one)
    assert (turned["gained"], turned["lost"]) == (found["lost"], found["gained"])
    assert turned["p"] == found["p"]


def test_each_branch_alone_and_all_together() -> None:
    random = np.random.default_rng(3)
    labels = (random.random(400) < 0.5).astype(np.uint8)
    branches = np.where(labels, 1.0, -1.0)[:, None] + random.normal(size=(400, 2)) * [1.0, 2.0]
    rows = ablation(branches, labels, ("lstm", "ngrams"), (0.8, 0.3))
    assert [row["name"] for row in rows] == ["lstm", "ngrams", "together"]
    assert [row["factor"] for row in rows] == [0.8, 0.3, None]
    together = branches @ [0.8, 0.3]
    for row, logits in zip(rows, (branches[:, 0], branches[:, 1], together), strict=True):
        expected = measure(labels, probabilities(logits), labels)
        assert row["accuracy"] == expected["accuracy"]
        assert row["accuracy_interval"] == expected["accuracy_interval"]
        assert row["loss"] == pytest.approx(expected["loss"], rel=1e-6)
    linear = (branches[:, 1] >= 0) == (labels == 1)
    assert rows[1]["together"] == compare((together >= 0) == (labels == 1), linear)
    assert rows[1]["together"]["difference"] > 0.05


def test_branches_are_judged_at_the_threshold() -> None:
    branches, labels = (
        np.array([[2.0, 0.0], [0.5, 0.5], [0.1, -3.0]]),
        np.array([1, 0, 0], np.uint8),
    )
    at_half, at_more = (
        ablation(branches, labels, ("lstm", "ngrams"), (1.0, 1.0), threshold)
        for threshold in (0.5, 0.8)
    )
    assert [row["accuracy"] for row in at_half] == [1 / 3, 2 / 3, 2 / 3]
    assert [row["accuracy"] for row in at_more] == [1, 2 / 3, 1]


def test_a_model_with_one_branch_has_one_row() -> None:
    (row,) = ablation(np.array([[2.0], [-1.0]]), np.array([1, 1], np.uint8), ("lstm",), (0.5,))
    assert row["accuracy"] == 0.5
    assert row["together"]["p"] == 1


@pytest.mark.parametrize(
    ("gained", "lost", "found"),
    [
        (60, 20, None),  # p 8e-6
        (22, 20, "The test reviews do not tell"),
        (20, 20, "The test reviews do not tell"),
        (20, 22, "The test reviews do not tell"),
        (20, 60, "A linear model is better"),
    ],
)
def test_a_linear_model_would_do_unless_the_lstm_is_better_beyond_chance(
    gained: int, lost: int, found: str | None
) -> None:
    one = np.array([True] * gained + [False] * lost + [True] * 100)
    other = np.array([False] * gained + [True] * lost + [True] * 100)
    for branches in (["lstm"], ["lstm", "ngrams", "together"]):
        advice = linear_would_do(compare(one, other), branches)
        if found is None:
            assert advice is None
        else:
            assert advice is not None and advice.startswith(found)


def test_a_linear_model_is_not_told_to_be_one() -> None:
    same = np.array([True, False])
    assert linear_would_do(compare(same, same), ["ngrams"]) is None


counts = st.integers(0, 60)


@given(counts, counts, counts, counts)
def test_whether_answers_follow_labels_as_scipy_says(tn: int, fp: int, fn: int, tp: int) -> None:
    found = fisher(
        {"true_negative": tn, "false_positive": fp, "false_negative": fn, "true_positive": tp}
    )
    if tp * tn <= fp * fn:
        assert found == 1
    else:
        expected = fisher_exact([[tn, fp], [fn, tp]], alternative="greater").pvalue
        assert found == pytest.approx(expected, rel=1e-9)


def test_whether_answers_follow_labels_of_many_reviews() -> None:
    many = dict(true_negative=90_000, false_positive=10_000, false_negative=9_000)
    assert 0 <= fisher({**many, "true_positive": 91_000}) < 1e-300
    # By chance 50,000 would be right; 50,100 are 0.9 standard deviations more.
    near = dict(true_negative=50_050, false_positive=49_950, false_negative=49_950)
    assert fisher({**near, "true_positive": 50_050}) == pytest.approx(0.327, abs=0.002)


@given(st.integers(1, 60), st.floats(0.1, 0.9), st.integers(0, 99))
def test_the_effect_of_an_early_exit_is_that_of_a_plain_loop(
    reviews: int, threshold: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    whole, fast = rng.normal(0, 2, (2, reviews))
    exited, labels = rng.random(reviews) < 0.5, rng.integers(0, 2, reviews).astype(np.uint8)
    effect = early_exit_effect(FastScores(fast, exited), whole, labels, threshold)
    at = math.log(threshold / (1 - threshold))
    changed = correct = 0
    for answer, exact, label in zip(fast, whole, labels, strict=True):
        changed += (answer >= at) != (exact >= at)
        correct += (answer >= at) == (label == 1)
    assert effect == {
        "share": pytest.approx(sum(exited) / reviews),
        "changed": changed,
        "accuracy": pytest.approx(correct / reviews),
    }
