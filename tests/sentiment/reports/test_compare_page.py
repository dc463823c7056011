"""The page and the texts of a comparison: complete, escaped, and without a claim too many."""

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from sentiment.evaluation.side_by_side import Figure
from sentiment.reports.compare_page import difference_chart, render_comparison
from sentiment.reports.comparison import (
    Comparison,
    Disagreement,
    figure_rows,
    settings_note,
    settings_rows,
    verdict,
)

ONE = {"accuracy": Figure(0.9, (0.85, 0.93)), "calibration_error": Figure(0.0123)}
TWO = {"accuracy": Figure(0.95, (0.9, 0.97)), "calibration_error": Figure(0.01)}
APART = {"accuracy": Figure(0.05, (0.01, 0.09)), "calibration_error": Figure(-0.0023)}
COMPARED = Comparison(
    names=("champion", "<b>run</b>"),
    about=({"model": "f9ab", "preset": "small"}, {"model": "02d6", "preset": ""}),
    settings={"train.epochs": (2, 3), "train.model.ngrams": (None, {"max_n": 2})},
    unknown={},
    rows=(200, 200),
    thresholds=(0.5, 0.4),
    figures=(ONE, TWO),
    difference=APART,
    test={"gained": 12, "lost": 2, "difference": 0.05, "p": 0.0129},
    only_a=[Disagreement(1, 0.9, 0.1, "so <i>good</i>")],
    only_b=[Disagreement(0, 0.9, 0.1, None)],
)
APART_ONLY = replace(COMPARED, why_not="Other reviews.", test=None, difference={}, only_a=())


def test_the_verdict_claims_a_better_model_only_beyond_chance() -> None:
    assert COMPARED.test is not None
    assert verdict(COMPARED).startswith("B is right more often, beyond chance. Of 200 test")
    assert "2 are right with A alone and 12 with B alone" in verdict(COMPARED)
    worse = replace(COMPARED, test={**COMPARED.test, "difference": -0.05})
    assert verdict(worse).startswith("A is right more often")
    chance = replace(COMPARED, test={**COMPARED.test, "p": 0.05})
    assert verdict(chance).startswith("The test reviews do not tell A and B apart.")
    assert verdict(APART_ONLY) == "Other reviews."


def test_figures_have_intervals_and_signs() -> None:
    accuracy, error = figure_rows(COMPARED)
    assert accuracy == (
        "Accuracy",
        ("90.0\xa0%", "85.0 to 93.0"),
        ("95.0\xa0%", "90.0 to 97.0"),
        ("+5.0 points", "+1.0 to +9.0"),
    )
    assert error[1:] == (("0.0123", ""), ("0.0100", ""), ("-0.0023", ""))
    one_sided = replace(APART_ONLY, figures=(ONE, {}))
    assert figure_rows(one_sided)[0][2:] == (("—", ""), ("—", ""))


def test_settings_are_shown_as_they_are_set() -> None:
    assert settings_rows(COMPARED)[1] == ("train.model.ngrams", "null", '{"max_n": 2}')
    assert settings_note(COMPARED) is None
    note = settings_note(replace(COMPARED, unknown={"ingest": "B", "vocabulary": "B"}))
    assert note is not None and note.startswith(
        "The settings ingest, vocabulary of B are not known"
    )


def test_the_page_needs_nothing_else_and_escapes() -> None:
    page = render_comparison(COMPARED)
    assert page == render_comparison(COMPARED)
    assert not re.search(r'(src|href)="(?!#|data:)', page) and "<script" not in page
    assert "&lt;b&gt;run&lt;/b&gt;" in page and "so &lt;i&gt;good&lt;/i&gt;" in page
    assert "The text is no longer in the storage." in page
    assert page.count("<svg") == 1 and "default-src 'none'" in page


def test_without_common_reviews_the_page_has_no_chart_and_no_difference() -> None:
    page = render_comparison(replace(APART_ONLY, only_b=()))
    assert "Other reviews." in page and "<svg" not in page and "B − A" not in page
    assert "95.0\xa0%" in page


@pytest.mark.parametrize(
    ("low", "high", "colours"),
    [(0.01, 0.09, "blue"), (-0.09, -0.01, "orange"), (-0.01, 0.09, "ink")],
)
def test_the_chart_colours_what_is_beyond_chance(low: float, high: float, colours: str) -> None:
    found = {"mcc": Figure((low + high) / 2, (low, high))}
    drawn = difference_chart(found)
    ET.fromstring(drawn)
    assert {"blue": "#3a7fc4" in drawn, "orange": "#d06a0c" in drawn}.get(
        colours, "#3a7fc4" not in drawn and "#d06a0c" not in drawn
    )
    lost = difference_chart({"loss": found["mcc"]})  # of which less is better
    assert ("#d06a0c" in lost) == (colours == "blue")


def test_json_holds_everything() -> None:
    content = json.loads(COMPARED.to_json())
    assert content["figures"][0]["accuracy"] == {"value": 0.9, "interval": [0.85, 0.93]}
    assert content["only_a"] == [{"label": 1, "a": 0.9, "b": 0.1, "text": "so <i>good</i>"}]
