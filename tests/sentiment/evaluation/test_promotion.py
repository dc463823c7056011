"""Which model becomes the champion."""

import json
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentiment.evaluation.promotion import Candidate, Incumbent, PromoteConfig, judge, promote_model

NEW = Candidate(digest="new", tests="t", threshold=0.5, generated=False)
MADE_UP = NEW.model_copy(update={"generated": True})


def old(accuracy: float | None, *, digest: str = "old", generated: bool = False) -> Incumbent:
    return Incumbent(model="train/old", digest=digest, accuracy=accuracy, generated=generated)


shares = st.integers(0, 1000)


@given(rows=st.integers(1, 1000), right=shares, other=shares, least=shares, gain=shares)
def test_the_better_model_is_champion(
    rows: int, right: int, other: int, least: int, gain: int
) -> None:
    """Against exact arithmetic: strictly more than the gain, and not below the least."""
    right, other = right % (rows + 1), other % (rows + 1)
    config = PromoteConfig(min_accuracy=least / 1000, min_gain=gain / 1000)
    outcome = judge(right / rows, NEW, old(other / rows), config).outcome
    if right / rows < least / 1000:
        assert outcome == "refused"
    elif Fraction(right - other, rows) > Fraction(gain, 1000):
        assert outcome == "promoted"
    else:
        assert outcome == "kept"


@given(right=shares, least=shares)
def test_the_first_model_needs_the_least_accuracy_alone(right: int, least: int) -> None:
    config = PromoteConfig(min_accuracy=least / 1000, min_gain=1.0)
    expected = "promoted" if right >= least else "refused"
    assert judge(right / 1000, NEW, None, config).outcome == expected


@given(right=shares, other=shares, gain=shares)
def test_of_two_models_at_most_one_replaces_the_other(right: int, other: int, gain: int) -> None:
    config = PromoteConfig(min_accuracy=0, min_gain=gain / 1000)
    there = judge(right / 1000, NEW, old(other / 1000), config).outcome
    back = judge(other / 1000, NEW, old(right / 1000), config).outcome
    assert [there, back].count("promoted") <= 1


@given(right=shares, other=shares, raised=shares)
def test_a_better_model_fares_no_worse(right: int, other: int, raised: int) -> None:
    order = ["refused", "kept", "promoted"]
    config = PromoteConfig(min_accuracy=0.5, min_gain=0.01)
    low, high = sorted([right, raised])
    before, after = (judge(r / 1000, NEW, old(other / 1000), config).outcome for r in (low, high))
    assert order.index(before) <= order.index(after)


def test_the_verdict_on_a_worse_model_says_by_how_much() -> None:
    verdict = judge(0.912, NEW, old(0.919), PromoteConfig())
    assert verdict.reason == "champion kept: 91.20% against 91.90%, 0.7 percentage points worse"
    # One review of a million: the rounded figures alone would not tell.
    one = judge(0.919999, NEW, old(0.92), PromoteConfig())
    assert one.reason == "champion kept: 92.00% against 92.00%, 0.0001 percentage points worse"
    same = judge(0.92, NEW, old(0.92), PromoteConfig())
    assert same.reason == "champion kept: 92.00% against 92.00%, no better"
    close = judge(0.919, NEW, old(0.912), PromoteConfig(min_gain=0.01))
    assert close.reason == ("champion kept: 91.90% against 91.20%, more than 1.00% better needed")
    assert judge(0.871, NEW, None, PromoteConfig(min_accuracy=0.89)).reason == (
        "accuracy 0.871 is below 0.89"
    )


def test_the_champion_meets_itself() -> None:
    verdict = judge(0.7, NEW, old(None, digest="new"), PromoteConfig())
    assert (verdict.outcome, verdict.reason) == ("champion", "is the champion already: 70.00%")
    assert judge(0.4, NEW, old(None, digest="new"), PromoteConfig()).outcome == "refused"


def test_a_rolled_back_model_is_not_promoted_again() -> None:
    verdict = judge(0.99, NEW, old(0.6), PromoteConfig(), rolled_back="by Ada: too slow")
    assert verdict.outcome == "kept"
    assert "by Ada: too slow" in verdict.reason


def test_generated_reviews_decide_nothing_about_a_model_of_real_ones() -> None:
    assert judge(0.99, MADE_UP, old(None), PromoteConfig()).outcome == "kept"


@pytest.mark.parametrize("champion", [None, old(0.5)])
def test_the_stage_writes_its_verdict(tmp_path: Path, champion: Incumbent | None) -> None:
    metrics = tmp_path / "metrics.json"
    metrics.write_text(json.dumps({"accuracy": 0.75, "rows": 8, "loss": 0.3}))
    out = tmp_path / "out"
    out.mkdir()
    content = promote_model(
        metrics,
        promote=PromoteConfig(),
        candidate=NEW,
        champion=champion,
        rolled_back=None,
        out=out,
    )
    assert json.loads((out / "promotion.json").read_text()) == content
    assert content["outcome"] == "promoted"
    assert content["champion"] == (champion and champion.model_dump())
