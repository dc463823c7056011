"""The page of an explanation: complete, escaped, without scripts, and reproducible."""

import re
from dataclasses import replace

import numpy as np
import pytest

from sentiment.explain.explanation import Activity, Explanation
from sentiment.reports.explanation_page import (
    contributions,
    printable_words,
    render_explanation,
    strengths,
)


def example(words: tuple[str, ...] = ("a", "lovely", "lamp"), *, both: bool = True) -> Explanation:
    """Return an explanation whose words add -1, 0, 1, and so on."""
    column = np.linspace(0.1, 0.9, len(words))
    activity = Activity(column, column[::-1], column, 5 * column)
    return Explanation(
        words=words,
        known=tuple(word != "lovely" for word in words),
        left_out=0,
        gap=len(words),
        probability=0.9,
        logit=2.2,
        baseline=-0.1,
        attributions=np.arange(len(words)) - 1.0,
        running=column,
        forward=activity,
        backward=activity if both else None,
    )


def test_the_page_has_words_sum_and_values() -> None:
    page = render_explanation(example())
    assert "Positive: P(positive) 0.900" in page
    assert "add up to +0.00. The logit is +2.20" in page
    assert "+2.30 in all" in page
    assert page.count("<tr>") == 6 + 3 * 4  # bars and their sum; words, and both directions
    assert re.search(r'<span class="unknown">lovely</span>', page)
    assert page.count("rgb(58 127 196 /") == page.count("rgb(208 106 12 /") == 1
    assert "reading backward" in page and "reading backward" not in render_explanation(
        example(both=False)
    )
    assert page == render_explanation(example())


def test_the_page_says_where_the_sum_is_missed() -> None:
    assert "They miss it by 2.300" in render_explanation(example())
    whole = replace(example(), attributions=np.array([1.0, 1.0, 0.3]))
    assert whole.is_complete and whole.miss == pytest.approx(0)
    assert "They miss" not in render_explanation(whole)


def test_words_that_are_markup_are_shown_as_they_are() -> None:
    words = ("<script>alert(0)</script>", "a&b", "$x^0$", "-->", "{{0}}")
    page = render_explanation(example(words))
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 7  # text, bars, two charts, three tables
    assert "$x^0$" in page and "{{0}}" in page
    assert "default-src 'none'" in page


def test_words_of_any_writing_can_be_drawn() -> None:
    words = ("極好", "ممتاز", "👍", "\x1b[31m", "\u202e", "\ud800")
    page = render_explanation(example(words))
    assert "極好" in page
    assert page.encode("utf-8")
    assert printable_words(words)[3:] == ["[31m", "\ufffd", "\ufffd"]


def test_a_long_text_has_numbers_in_place_of_words_on_the_axis() -> None:
    page = render_explanation(example(tuple(f"word-{n}" for n in range(80))))
    assert page.count("word-7<") == 4  # in the text and in the tables
    assert render_explanation(example(tuple(f"word-{n}" for n in range(20)))).count("word-7<") == 7


@pytest.mark.parametrize(("gap", "before"), [(1, "a"), (3, "lamp")])
def test_words_that_the_model_does_not_read_are_counted_and_placed(gap: int, before: str) -> None:
    page = render_explanation(replace(example(), left_out=7, gap=gap))
    assert "… stands for 7 words that it does not read" in page
    text = page[: page.index("…")].rstrip()
    assert text.endswith(f">{before}</span>")
    assert "…" not in render_explanation(example())


def test_strengths_are_shares_of_the_strongest() -> None:
    strong = replace(example(), attributions=np.array([2.0, -4.0, 0.001]))
    assert strengths(strong) == [0.5, -1.0, 0.0]
    assert strengths(replace(example(), attributions=np.zeros(3))) == [0.0, 0.0, 0.0]


def test_a_model_without_an_lstm_has_no_gates() -> None:
    page = render_explanation(replace(example(both=False), forward=None))
    assert "P(positive)" in page and page.count("<svg") == 1
    assert "Gates" not in page and "gate" not in page and "cell" not in page


def test_bars_are_sums_of_equal_words_with_the_strongest_first() -> None:
    words = ("good", "bad", "good", "so")
    found = replace(example(words), attributions=np.array([1.0, -3.0, 0.5, 0.0]))
    bars, others = contributions(found, words)
    assert [(bar["word"], bar["adds"], bar["width"]) for bar in bars] == [
        ("bad", -3.0, 50.0),
        ("good", 1.5, 25.0),
        ("so", 0.0, 0.0),
    ]
    assert others is None


def test_weak_words_of_a_long_text_share_a_row() -> None:
    words = tuple(f"word-{n}" for n in range(40))
    bars, others = contributions(example(words), words)
    assert others is not None and others["count"] + len(bars) == 40
    total = others["adds"] + sum(bar["adds"] for bar in bars)
    assert total == pytest.approx(example(words).attributions.sum())
    assert "25 other words" in render_explanation(example(words))


def test_gates_are_folded_away_with_a_sentence_on_how_to_read_them() -> None:
    page = render_explanation(example())
    folded = page[page.index("Gates and cell at each word") :]
    assert page.count("<svg") == 2 and folded.count("<svg") == 1
    assert "How to read it" in folded
