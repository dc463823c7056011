"""Which model becomes the champion."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentiment.evaluation.comparison import fisher, mcnemar
from sentiment.evaluation.metrics import measure, wilson_interval
from sentiment.evaluation.promotion import (
    Candidate,
    Incumbent,
    PromoteConfig,
    Verdict,
    failed_gates,
    judge,
    promote_model,
)

NEW = Candidate(digest="new", tests="t", threshold=None, generated=False)
MADE_UP = NEW.model_copy(update={"generated": True})


def old(mcc: float | None, *, digest: str = "old", generated: bool = False) -> Incumbent:
    accuracy = None if mcc is None else (1 + mcc) / 2
    return Incumbent(
        model="train/old", digest=digest, accuracy=accuracy, mcc=mcc, generated=generated
    )


def meets(
    mcc: float,
    champion: Incumbent | None,
    config: PromoteConfig | None = None,
    *,
    candidate: Candidate = NEW,
    rolled_back: str | None = None,
) -> Verdict:
    """Judge a model that fails no gate, on reviews of which half are positive."""
    config = config or PromoteConfig()
    return judge((1 + mcc) / 2, mcc, candidate, champion, config, rolled_back)


shares = st.integers(0, 1000)


@given(rows=st.integers(1, 1000), right=shares, other=shares, gain=shares)
def test_the_better_model_is_champion(rows: int, right: int, other: int, gain: int) -> None:
    """Against exact arithmetic: strictly more than the gain."""
    right, other = right % (rows + 1), other % (rows + 1)
    config = PromoteConfig(min_gain=gain / 1000)
    outcome = meets(right / rows, old(other / rows), config).outcome
    better = Fraction(right - other, rows) > Fraction(gain, 1000)
    assert outcome == ("promoted" if better else "kept")


@given(right=shares, other=shares, gain=shares)
def test_of_two_models_at_most_one_replaces_the_other(right: int, other: int, gain: int) -> None:
    config = PromoteConfig(min_gain=gain / 1000)
    there = meets(right / 1000, old(other / 1000), config).outcome
    back = meets(other / 1000, old(right / 1000), config).outcome
    assert [there, back].count("promoted") <= 1


def test_the_first_model_is_champion() -> None:
    assert meets(0.7, None) == Verdict("promoted", "promoted: 85.00%, the first champion")


def test_the_verdict_says_what_was_compared() -> None:
    against = "90.00% against 92.00% (MCC 0.800 against 0.840)"
    assert meets(0.8, old(0.84)).reason == f"champion kept: {against}, worse"
    same = "champion kept: 92.00% against 92.00% (MCC 0.840 against 0.840), no better"
    assert meets(0.84, old(0.84)).reason == same
    close = meets(0.84, old(0.83), PromoteConfig(min_gain=0.02))
    assert close.reason == (
        "champion kept: 92.00% against 91.50% (MCC 0.840 against 0.830), an MCC more than 0.02 "
        "higher needed"
    )
    assert meets(0.9, old(0.84)).reason == (
        "promoted: 95.00% against 92.00% (MCC 0.900 against 0.840)"
    )


def test_a_champion_that_always_answers_the_same_gives_way_to_a_useful_model() -> None:
    constant = Incumbent(model="m", digest="old", accuracy=0.95, mcc=0.0, generated=False)
    assert judge(0.93, 0.5, NEW, constant, PromoteConfig()).outcome == "promoted"


def test_the_champion_meets_itself() -> None:
    verdict = meets(0.4, old(None, digest="new"))
    assert (verdict.outcome, verdict.reason) == ("champion", "is the champion already: 70.00%")
    gates = {"promote.min_accuracy": "accuracy 0.4 is below 0.5"}
    failed = judge(0.4, 0.0, NEW, old(None, digest="new"), PromoteConfig(), None, gates)
    assert failed == Verdict("refused", "refused: accuracy 0.4 is below 0.5")


def test_a_rolled_back_model_is_not_promoted_again() -> None:
    verdict = meets(0.99, old(0.6), rolled_back="by Ada: too slow")
    assert verdict.outcome == "kept"
    assert "by Ada: too slow" in verdict.reason


def test_generated_reviews_decide_nothing_about_a_model_of_real_ones() -> None:
    assert meets(0.99, old(None), candidate=MADE_UP).outcome == "kept"


@given(mcc=st.floats(-1, 1))
def test_a_model_of_generated_reviews_gives_way_to_any_of_real_ones(mcc: float) -> None:
    verdict = meets(mcc, old(None, generated=True), PromoteConfig(min_gain=1))
    assert verdict.outcome == "promoted"
    assert "in place of a model of generated reviews" in verdict.reason


def stage(
    folder: Path,
    labels: list[int],
    model: list[float],
    linear: list[float],
    *,
    champion: Incumbent | None = None,
    threshold: float | None = None,
    **config: float | bool,
) -> dict[str, object]:
    """Run the stage on the probabilities of a model and the logits of a baseline."""
    at = 0.5 if threshold is None else threshold
    metrics = measure(np.array(labels), np.array(model), np.ones(len(labels), int), threshold=at)
    content = {**metrics, "branches": [{"name": "lstm"}]}
    (folder / "metrics.json").write_text(json.dumps(content))
    pq.write_table(pa.table({"label": labels, "probability": model}), folder / "model.parquet")
    pq.write_table(pa.table({"logit": linear}), folder / "linear.parquet")
    (folder / "out").mkdir()
    return promote_model(
        folder / "metrics.json",
        folder / "model.parquet",
        folder / "linear.parquet",
        promote=PromoteConfig(**config),
        candidate=NEW.model_copy(update={"threshold": threshold}),
        champion=champion,
        rolled_back=None,
        out=folder / "out",
    )


@pytest.mark.parametrize("champion", [None, old(0.5)])
def test_the_stage_writes_its_verdict(tmp_path: Path, champion: Incumbent | None) -> None:
    labels, right = [0, 1] * 8, [0.2, 0.8] * 8
    content = stage(tmp_path, labels, right, [-1.0, 1.0] * 8, champion=champion)
    assert json.loads((tmp_path / "out" / "promotion.json").read_text()) == content
    assert content["outcome"] == "promoted"
    assert content["champion"] == (champion and champion.model_dump())
    assert content["gates"] == {}
    rows = {row["name"]: row for row in content["comparison"]}  # type: ignore[attr-defined]
    names = ["model", "baseline", "majority"] + (["champion"] if champion else [])
    assert list(rows) == names
    assert (rows["model"]["accuracy"], rows["model"]["mcc"]) == (1, 1)
    assert "do not tell this model from a linear one" in rows["baseline"]["advice"]
    assert (rows["majority"]["accuracy"], rows["majority"]["label"]) == (0.5, "positive")
    if champion:
        assert rows["champion"]["accuracy_interval"] == list(wilson_interval(12, 16))


def test_a_champion_whose_mcc_an_older_version_did_not_measure_has_no_row(tmp_path: Path) -> None:
    itself = Incumbent(model="m", digest="new", accuracy=0.9, generated=False)
    content = stage(tmp_path, [0, 1] * 8, [0.2, 0.8] * 8, [-1.0, 1.0] * 8, champion=itself)
    assert content["outcome"] == "champion"
    names = [row["name"] for row in content["comparison"]]  # type: ignore[attr-defined]
    assert names == ["model", "baseline", "majority"]


def test_a_baseline_is_judged_at_half_or_at_the_threshold_that_is_set(tmp_path: Path) -> None:
    labels, model, linear = [1, 1, 0, 0], [0.9, 0.8, 0.6, 0.1], [2.0, 0.1, 0.1, -2.0]
    for threshold, expected, difference in ((None, 0.75, 0), (0.7, 0.75, 0.25)):
        folder = tmp_path / f"{threshold}"
        folder.mkdir()
        content = stage(folder, labels, model, linear, threshold=threshold)
        row = content["comparison"][1]  # type: ignore[index]
        # From 0.7 on the model has all four, the baseline, of 0.525 twice, three.
        assert (row["accuracy"], row["difference"]) == (expected, difference)
        assert row["accuracy_interval"] == list(wilson_interval(3, 4))


def test_always_the_same_answer_fails_however_frequent_it_is(tmp_path: Path) -> None:
    labels = [0] * 5 + [1] * 95
    content = stage(tmp_path, labels, [0.9] * 100, [1.0] * 100)
    assert content["accuracy"] == 0.95
    assert content["outcome"] == "refused"
    assert list(content["gates"]) == ["promote.beat_majority"]  # type: ignore[call-overload]
    assert 'not significantly better than always answering "positive", 95.00% (p 1)' in str(
        content["reason"]
    )


def test_a_useful_model_passes_although_the_majority_is_right_more_often(tmp_path: Path) -> None:
    labels = [0] * 5 + [1] * 95
    useful = [0.1] * 5 + [0.1] * 10 + [0.9] * 85  # all negatives are found, with ten false alarms
    constant = [1.0] * 100  # the baseline is right five times more often, and useless
    content = stage(tmp_path, labels, useful, constant)
    assert content["comparison"][1]["lost"] == 10  # type: ignore[index]
    assert content["outcome"] == "promoted"


def test_a_linear_baseline_that_is_better_beyond_chance_fails_the_model(tmp_path: Path) -> None:
    labels = [0, 1] * 20
    right = [-1.0, 1.0] * 20
    for wrong, outcome in ((5, "promoted"), (6, "refused")):  # p 0.0625, 0.03125
        folder = tmp_path / f"{wrong}"
        folder.mkdir()

        model = [0.8 if n < 2 * wrong else p for n, p in enumerate([0.2, 0.8] * 20)]
        content = stage(folder, labels, model, right)
        assert content["comparison"][1]["p"] == mcnemar(0, wrong)  # type: ignore[index]
        assert content["outcome"] == outcome
    assert list(content["gates"]) == ["promote.match_baseline"]  # type: ignore[call-overload]


def test_each_gate_can_be_switched_off_and_all_that_fail_are_named(tmp_path: Path) -> None:
    labels, guess, right = [0, 1] * 20, [0.9] * 40, [-1.0, 1.0] * 20
    rows = stage(tmp_path, labels, guess, right)["comparison"]
    all_on = PromoteConfig(min_accuracy=0.6)
    gates = dict(failed_gates(rows, all_on))  # type: ignore[arg-type]
    assert list(gates) == [
        "promote.min_accuracy",
        "promote.beat_majority",
        "promote.match_baseline",
    ]
    assert gates["promote.min_accuracy"] == "accuracy 0.5 is below 0.6"
    off = PromoteConfig(beat_majority=False, match_baseline=False)
    assert not dict(failed_gates(rows, off))  # type: ignore[arg-type]
    assert rows[2]["p"] == fisher(  # type: ignore[index]
        {"true_negative": 0, "false_positive": 20, "false_negative": 0, "true_positive": 20}
    )
