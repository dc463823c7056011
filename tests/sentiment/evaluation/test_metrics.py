import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentiment.evaluation.metrics import (
    accuracy_by_unknown,
    length_label,
    measure,
    overlooked,
    unknown_label,
    wilson_interval,
)


def measured(labels: Any, probabilities: Any, lengths: Any = None, **options: Any) -> Any:
    labels = np.asarray(labels, dtype=np.uint8)
    lengths = np.full(labels.size, 30) if lengths is None else np.asarray(lengths)
    return measure(labels, np.asarray(probabilities, dtype=np.float64), lengths, **options)


def answers(rows: int, seed: int = 3, decimals: int | None = None) -> tuple[Any, Any]:
    """Labels, and probabilities that know something about them; few decimals make many ties."""
    random = np.random.default_rng(seed)
    labels = (random.random(rows) < 0.4).astype(np.uint8)
    probabilities = 1 / (1 + np.exp(-random.normal(np.where(labels, 1.2, -1.2), 1.5)))
    return labels, probabilities if decimals is None else probabilities.round(decimals)


# Coarse probabilities on purpose: ties, and values on the edges of bins, are where mistakes hide.
rated = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 20), st.integers(0, 300)), min_size=1, max_size=60
)


def columns(rows: list[tuple[int, int, int]]) -> tuple[Any, Any, Any]:
    labels, twentieths, lengths = (np.array(column) for column in zip(*rows, strict=True))
    return labels.astype(np.uint8), twentieths / 20, lengths


class TestWilsonInterval:
    def test_agrees_with_the_published_example(self) -> None:
        low, high = wilson_interval(81, 263)  # Newcombe (1998), table I, method 3
        assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)

    def test_ends_exactly_at_0_and_1(self) -> None:
        assert wilson_interval(0, 10)[0] == 0.0
        assert wilson_interval(10, 10)[1] == 1.0

    @given(st.integers(1, 10**9), st.data())
    def test_holds_the_share_and_mirrors(self, trials: int, data: st.DataObject) -> None:
        successes = data.draw(st.integers(0, trials))
        low, high = wilson_interval(successes, trials)
        assert 0 <= low <= successes / trials <= high <= 1
        mirrored = wilson_interval(trials - successes, trials)
        assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-12)

    @pytest.mark.parametrize(("successes", "trials"), [(0, 0), (3, 2), (-1, 5)])
    def test_refuses_the_impossible(self, successes: int, trials: int) -> None:
        with pytest.raises(ValueError, match="at least one trial"):
            wilson_interval(successes, trials)


class TestByHand:
    def test_four_answers(self) -> None:
        got = measured([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9])
        assert got["confusion"] == {
            "true_negative": 1, "false_positive": 1, "false_negative": 1, "true_positive": 1,
        }  # fmt: skip
        for name in ("accuracy", "precision", "recall", "f1", "majority_accuracy"):
            assert got[name] == 0.5, name
        assert got["loss"] == pytest.approx(-(2 * math.log(0.9) + 2 * math.log(0.4)) / 4)
        assert got["roc_auc"] == 0.75
        assert got["average_precision"] == pytest.approx((1 + 2 / 3) / 2)
        assert got["roc"] == [[0, 0], [0, 0.5], [0.5, 0.5], [0.5, 1], [1, 1]]
        assert got["precision_recall"] == [[0.5, 1], [1, pytest.approx(2 / 3)]]

    def test_the_correlation_of_labels_and_answers(self) -> None:
        assert measured([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9])["mcc"] == 0
        assert measured([0, 1, 1], [0.1, 0.6, 0.4])["mcc"] == 0.5
        assert measured([0, 1], [0.9, 0.9])["mcc"] == 0  # where it is undefined

    def test_a_class_that_is_mostly_overlooked_is_said(self) -> None:
        assert overlooked(measured([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9])["confusion"]) is None
        said = overlooked(measured([0, 0, 0, 1, 1], [0.1, 0.6, 0.7, 0.9, 0.9])["confusion"])
        assert said is not None and said.startswith(
            "only 1 of 3 negative test reviews are recognised"
        )

    def test_the_threshold_itself_counts_as_positive(self) -> None:
        got = measured([1, 0, 1], [0.3, 0.2, 0.9], threshold=0.3)
        assert (got["threshold"], got["accuracy"]) == (0.3, 1.0)

    def test_certain_and_wrong_costs_a_finite_loss(self) -> None:
        assert measured([0, 1], [1.0, 0.0])["loss"] == pytest.approx(-math.log(1e-7))

    def test_a_constant_answer_ranks_nothing(self) -> None:
        got = measured([1, 0, 0, 0], [0.7] * 4)
        assert got["roc_auc"] == 0.5
        assert got["average_precision"] == 0.25
        assert got["majority_accuracy"] == 0.75
        assert got["roc"] == [[0, 0], [1, 1]]

    def test_length_bins_and_their_edges(self) -> None:
        lengths = [0, 1, 25, 26, 100, 101, 200, 201, 9999]
        right = [1, 1, 0, 1, 1, 1, 1, 0, 1]
        bins = measured(right, [0.8] * 9, lengths)["by_length"]
        assert [(length_label(each), each["rows"], each["accuracy"]) for each in bins] == [
            ("0", 1, 1), ("1–25", 2, 0.5), ("26–50", 1, 1), ("76–100", 1, 1), ("101–150", 1, 1),
            ("151–200", 1, 1), ("201+", 2, 0.5),
        ]  # fmt: skip
        assert bins[1]["interval"] == list(wilson_interval(1, 2))

    def test_calibration(self) -> None:
        calibration = measured([0, 1, 1, 1], [0.3, 0.3, 0.95, 1.0])["calibration"]
        low, high = calibration["bins"]
        assert (low["from"], low["to"], low["rows"]) == (0.3, 0.4, 2)
        assert (low["confidence"], low["positive_share"]) == (0.3, 0.5)
        assert (high["from"], high["to"], high["rows"]) == (0.9, 1.0, 2)
        assert calibration["ece"] == pytest.approx((2 * 0.2 + 2 * 0.025) / 4)


class TestEdges:
    @pytest.mark.parametrize("label", [0, 1])
    def test_one_class_only(self, label: int) -> None:
        got = measured([label] * 3, [0.2, 0.6, 0.9])
        assert got["roc_auc"] is got["average_precision"] is None
        assert got["roc"] == got["precision_recall"] == []
        assert got["majority_accuracy"] == 1
        assert got["recall"] == (2 / 3 if label else None)

    def test_nothing_predicted_positive(self) -> None:
        got = measured([0, 1], [0.1, 0.2])
        assert (got["precision"], got["recall"], got["f1"]) == (None, 0, 0)

    def test_a_single_row(self) -> None:
        assert measured([1], [0.5])["accuracy"] == 1

    def test_no_rows(self) -> None:
        with pytest.raises(ValueError, match="no rows"):
            measured([], [])

    @pytest.mark.parametrize(
        ("labels", "probabilities", "lengths", "threshold", "message"),
        [
            ([0, 2], [0.1, 0.2], [1, 1], 0.5, "row 1: the label is 2"),
            ([0, 1], [0.1, float("nan")], [1, 1], 0.5, "row 1: the probability is nan"),
            ([0, 1], [1.5, 0.2], [1, 1], 0.5, "row 0: the probability is 1.5"),
            ([0, 1], [0.1, 0.2], [1, -4], 0.5, "row 1: the length is -4"),
            ([0, 1], [0.1], [1, 1], 0.5, "share one shape"),
            ([0, 1], [0.1, 0.2], [1, 1], 1.5, "threshold"),
        ],
    )
    def test_impossible_input_is_refused(
        self, labels: Any, probabilities: Any, lengths: Any, threshold: float, message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            measured(labels, probabilities, lengths, threshold=threshold)

    def test_single_precision_and_other_integers_do(self) -> None:
        labels, probabilities = answers(500)
        lengths = np.arange(1, 501, dtype=np.uint16)
        wide = measure(labels.astype(np.int64), probabilities.astype(np.float32), lengths)
        assert wide["roc_auc"] == pytest.approx(measured(labels, probabilities)["roc_auc"])


class TestAgainstScikitLearn:
    @pytest.mark.parametrize("decimals", [None, 2, 1])
    @pytest.mark.parametrize("rows", [12, 150, 5_000])
    def test_areas_and_loss(self, rows: int, decimals: int | None) -> None:
        oracle = pytest.importorskip("sklearn.metrics")
        labels, probabilities = answers(rows, decimals=decimals)
        got = measured(labels, probabilities)
        clipped = probabilities.clip(1e-7, 1 - 1e-7)
        assert got["roc_auc"] == pytest.approx(oracle.roc_auc_score(labels, probabilities))
        assert got["loss"] == pytest.approx(oracle.log_loss(labels, clipped))
        assert got["average_precision"] == pytest.approx(
            oracle.average_precision_score(labels, probabilities)
        )

    def test_counts_at_the_threshold(self) -> None:
        oracle = pytest.importorskip("sklearn.metrics")
        labels, probabilities = answers(800, decimals=1)
        got = measured(labels, probabilities, threshold=0.4)
        predicted = probabilities >= 0.4
        matrix = oracle.confusion_matrix(labels, predicted).ravel().tolist()
        assert list(got["confusion"].values()) == matrix
        assert got["accuracy"] == oracle.accuracy_score(labels, predicted)
        for name in ("precision", "recall", "f1"):
            assert got[name] == pytest.approx(getattr(oracle, f"{name}_score")(labels, predicted))
        assert got["mcc"] == pytest.approx(oracle.matthews_corrcoef(labels, predicted))

    @pytest.mark.parametrize("rows", [60, 5_000])
    def test_every_point_lies_on_the_full_curve(self, rows: int) -> None:
        oracle = pytest.importorskip("sklearn.metrics")
        labels, probabilities = answers(rows, decimals=3)
        got = measured(labels, probabilities)
        precision, recall, _ = oracle.precision_recall_curve(labels, probabilities)
        alarms, hits, _ = oracle.roc_curve(labels, probabilities, drop_intermediate=False)
        assert set(map(tuple, got["precision_recall"])) <= set(zip(recall, precision, strict=True))
        assert set(map(tuple, got["roc"])) <= set(zip(alarms, hits, strict=True))

    def test_a_thinned_curve_keeps_the_area(self) -> None:
        labels, probabilities = answers(20_000)
        got = measured(labels, probabilities)
        for name in ("roc", "precision_recall"):
            assert 150 < len(got[name]) <= 200, name
        x, y = np.array(got["roc"]).T
        assert np.trapezoid(y, x) == pytest.approx(got["roc_auc"], abs=1e-3)
        recall, precision = np.array(got["precision_recall"]).T
        area = np.sum(np.diff(recall, prepend=0) * precision)
        assert area == pytest.approx(got["average_precision"], abs=3e-3)


class TestProperties:
    @given(rated, st.integers(0, 20))
    def test_everything_adds_up(self, rows: list[tuple[int, int, int]], cut: int) -> None:
        labels, probabilities, lengths = columns(rows)
        got = measure(labels, probabilities, lengths, threshold=cut / 20)
        n = len(rows)
        confusion = got["confusion"]
        assert sum(confusion.values()) == got["rows"] == n
        assert confusion["true_negative"] + confusion["true_positive"] == round(got["accuracy"] * n)
        assert sum(each["rows"] for each in got["by_length"]) == n
        assert sum(each["rows"] for each in got["calibration"]["bins"]) == n
        weighted = sum(each["rows"] * each["accuracy"] for each in got["by_length"])
        assert weighted / n == pytest.approx(got["accuracy"])
        for each in got["calibration"]["bins"]:
            assert each["from"] - 1e-12 <= each["confidence"] <= each["to"] + 1e-12
        assert 0 <= got["calibration"]["ece"] <= 1
        low, high = got["accuracy_interval"]
        assert low <= got["accuracy"] <= high

    @given(rated, st.randoms(use_true_random=False))
    def test_the_order_of_the_rows_changes_no_bit(self, rows: Any, random: Any) -> None:
        shuffled = random.sample(rows, len(rows))
        first, second = (json.dumps(measure(*columns(each))) for each in (rows, shuffled))
        assert first == second

    @given(rated)
    def test_the_result_is_strict_json(self, rows: list[tuple[int, int, int]]) -> None:
        got = measure(*columns(rows))
        assert json.loads(json.dumps(got, allow_nan=False)) == got

    @given(rated)
    def test_the_area_is_the_share_of_pairs_in_order(self, rows: Any) -> None:
        labels, probabilities, lengths = columns(rows)
        higher, lower = probabilities[labels == 1], probabilities[labels == 0]
        got = measure(labels, probabilities, lengths)["roc_auc"]
        if not higher.size or not lower.size:
            assert got is None
        else:
            gaps = np.sign(higher[:, None] - lower[None, :])
            assert got == pytest.approx((gaps.mean() + 1) / 2)

    @given(rated)
    def test_curves_climb_to_the_corner(self, rows: list[tuple[int, int, int]]) -> None:
        got = measure(*columns(rows))
        if got["roc"]:
            points = np.array(got["roc"])
            assert (np.diff(points, axis=0) >= 0).all()
            assert points[0].tolist() == [0, 0] and points[-1].tolist() == [1, 1]
            assert (np.diff(np.array(got["precision_recall"])[:, 0]) > 0).all()
            assert got["precision_recall"][-1][0] == 1

    @given(st.lists(st.integers(0, 1), min_size=2), st.floats(0, 1))
    def test_a_constant_probability_is_worth_a_coin(self, labels: Any, probability: float) -> None:
        got = measured(labels, [probability] * len(labels))
        if 0 < sum(labels) < len(labels):
            assert got["roc_auc"] == 0.5
            assert got["average_precision"] == pytest.approx(sum(labels) / len(labels))
        assert len(got["calibration"]["bins"]) == 1


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20), st.integers(1, 120)), min_size=1))
def test_accuracy_by_unknown_is_that_of_plain_loops(
    answers: list[tuple[bool, int, int]],
) -> None:
    right = np.array([answer for answer, _, _ in answers])
    shares = np.array([min(1.0, unknown / words) for _, unknown, words in answers])
    found = accuracy_by_unknown(right, shares)
    for each in found:
        low, high = each["from"], 1.0 if each["to"] is None else each["to"]
        inside = right[(shares == 0) if high == 0 else (shares > low) & (shares <= high)]
        assert (each["rows"], each["accuracy"]) == (inside.size, inside.mean())
        assert each["interval"] == list(wilson_interval(inside.sum(), inside.size))
    assert sum(each["rows"] for each in found) == len(answers)


def test_names_of_bins_of_unknown_words() -> None:
    found = accuracy_by_unknown(np.ones(3, bool), np.array([0.0, 0.015, 0.4]))
    assert [unknown_label(each) for each in found] == ["none", "1–2 %", "over 10 %"]
