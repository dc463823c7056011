"""The page of a study: self-contained, complete, escaped."""

import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from sentiment.reports.study_page import (
    StudyTrial,
    best_of,
    curves_chart,
    history_chart,
    importance_chart,
    parallel_chart,
    render_study,
    slice_charts,
)

PATHS = ("train.learning_rate", "train.model.pooling", "train.max_length")


def trial(number: int, loss: float | None, state: str = "complete", **given: Any) -> StudyTrial:
    values = {
        "train.learning_rate": 0.001 * number,
        "train.model.pooling": ("mean", "max")[number % 2],
        "train.max_length": (None, 20)[number % 2],
    }
    return StudyTrial(
        **{
            "number": number,
            "state": state,
            "loss": loss,
            "accuracy": None if loss is None else 1 - loss,
            "seconds": 12.0,
            "values": values,
            "losses": [loss or 0.0],
            **given,
        }
    )


TRIALS = [
    trial(1, 0.5),
    trial(2, 0.7, "pruned"),
    trial(3, 0.25),
    trial(4, None, "failed", note="loss is <nan>"),
    trial(20, 0.25),
]


def test_the_best_is_the_first_of_the_lowest_loss_among_the_complete() -> None:
    assert best_of([trial(1, 0.1, "pruned"), *TRIALS[2:]]) is TRIALS[2]
    assert best_of([TRIALS[1], TRIALS[3]]) is None


def test_the_page_needs_nothing_else_and_escapes() -> None:
    page = render_study("mine", TRIALS, {"train.learning_rate": 0.8}, {"preset": "<b>"})
    assert not re.search(r'(src|href)="(?!#|data:)', page)
    assert "<script" not in page
    assert "loss is &lt;nan&gt;" in page and "&lt;b&gt;" in page
    assert page.count("<svg") == 4
    assert "number 3: validation loss" in page
    assert page == render_study("mine", TRIALS, {"train.learning_rate": 0.8}, {"preset": "<b>"})
    identifiers = re.findall(r' id="([^"]+)"', page)
    assert len(identifiers) == len(set(identifiers))


def test_a_study_without_a_complete_trial_has_a_page() -> None:
    page = render_study("mine", [TRIALS[3]], {}, {})
    assert "None of the 1 trials was completed" in page


@pytest.mark.parametrize("trials", [TRIALS, TRIALS[:1], TRIALS[:2]])
def test_charts_are_valid_and_name_every_setting(trials: list[StudyTrial]) -> None:
    ET.fromstring(history_chart(trials))
    drawn = slice_charts(trials, PATHS)
    ET.fromstring(drawn)
    assert all(path in drawn for path in PATHS)
    ET.fromstring(importance_chart(dict.fromkeys(PATHS, 1 / 3)))


@pytest.mark.parametrize(
    ("values", "log", "ticks"),
    [
        ((1, 2, 3, 4), False, ["1", "2", "3", "4"]),
        ((0.0003, 0.002, 0.6), True, ["0.001", "0.01", "0.1"]),
        ((0.001, 0.004, 0.01), True, ["0.001", "0.002", "0.005", "0.01"]),
        ((0.0021, 0.003, 0.0041), True, ["0.0024", "0.003", "0.0036", "0.0042"]),
        ((0.001, 0.2, 0.5), False, ["0.00", "0.15", "0.30", "0.45"]),  # whatever the range
    ],
)
def test_ticks_are_few_and_round_on_the_scale_that_is_declared(
    values: tuple[float, ...], log: bool, ticks: list[str]
) -> None:
    trials = [trial(n, 0.1 * n, values={"x": value}) for n, value in enumerate(values, 1)]
    drawn = slice_charts(trials, ("x",), log=("x",) if log else ())
    shown = re.findall(r">([0-9.]+)</text>", drawn)
    assert shown[: len(ticks) + 1] == [*ticks, "0.10"]  # then those of the losses


def circles(drawn: str) -> list[tuple[float, float]]:
    """Return where the marks of a chart are."""
    return [
        (float(x), float(y)) for x, y in re.findall(r'<use [^>]*x="([^"]+)" y="([^"]+)"', drawn)
    ]


@pytest.mark.parametrize(("log", "middle"), [((), 0.1), (("x",), 0.5)])
def test_parallel_axes_have_the_scale_that_is_declared(log: tuple[str, ...], middle: float) -> None:
    trials = [trial(n, 0.5, values={"x": x}) for n, x in ((1, 0.01), (2, 0.1), (3, 1.0))]
    xs = sorted({x for x, _ in circles(parallel_chart(trials, ("x",), log))})
    places = [(x - xs[0]) / (xs[-1] - xs[0]) for x in xs]  # equal losses are in the middle
    assert places == pytest.approx(sorted({0, middle, 0.5, 1}), abs=0.011)


def test_parallel_axes_name_choices_and_leave_out_what_a_trial_does_not_have() -> None:
    trials = [trial(1, 0.5, values={"x": "keep"}), trial(2, 0.4, values={"x": "expand", "y": 3})]
    drawn = parallel_chart(trials, ("x", "y"))
    ET.fromstring(drawn)
    assert ">keep<" in drawn and ">expand<" in drawn and ">validation loss<" in drawn
    ET.fromstring(parallel_chart(trials[:1], ("x", "y")))


def test_learning_curves_are_drawn_where_there_is_more_than_one_validation() -> None:
    assert "Learning curves" not in render_study("mine", TRIALS, {}, {})
    trials = [trial(1, 0.4, losses=[0.6, 0.4]), trial(2, 0.7, "pruned", losses=[0.7])]
    page = render_study("mine", trials, {}, {})
    assert "Learning curves" in page
    assert re.search(r'scope="row"[^>]*>2, pruned</th><td>0.7000</td><td>—</td>', page)
    ET.fromstring(curves_chart(trials))
