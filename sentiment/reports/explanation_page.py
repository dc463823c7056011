"""An explanation as one HTML page: what each word adds, and how the text is read.

The words are untrusted: the template escapes them, and the page's policy forbids loading or running
anything.
"""

import math
import unicodedata
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sentiment.explain.explanation import Activity, Explanation
from sentiment.reports.charts import BLUE, INK, ORANGE, as_svg, house_style
from sentiment.reports.pages import render_page

TEMPLATE = Path(__file__).parent / "templates" / "explanation.html.j2"
FAINTEST = 0.01  # of the strongest attribution; weaker words are not coloured
MOST_BARS = 15
WIDTH = 5.4  # inches of a chart; its letters can be read on a phone
LONGEST_WORD, MOST_LABELS = 16, 30  # on the chart's axis


def render_explanation(explanation: Explanation) -> str:
    """Return the page. Equal explanations give equal bytes."""
    words = printable_words(explanation.words)
    bars, others = contributions(explanation, words)
    both = (("forward", explanation.forward), ("backward", explanation.backward))
    directions = [(name, activity) for name, activity in both if activity is not None]
    added, so_far = (
        [form.format(value) for value in column]
        for form, column in (
            ("{:+.2f}", explanation.attributions),
            ("{:.3f}", explanation.running),
        )
    )
    gates = gates_chart(directions, words) if directions else None
    return render_page(
        TEMPLATE.read_text(encoding="utf-8"),
        explanation=explanation,
        words=words,
        strengths=strengths(explanation),
        bars=bars,
        others=others,
        limit=math.log(explanation.threshold / (1 - explanation.threshold)),
        running=Markup(running_chart(explanation, words)),  # which escapes the words
        read=list(zip(words, added, so_far, strict=True)),
        gates=gates and Markup(gates),
        activities=[(name, _rows(activity, words)) for name, activity in directions],
    )


def contributions(
    explanation: Explanation, words: Sequence[str]
) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """Return the words that add most, the strongest first, and what all others add.

    A word that occurs more than once is added up. ``width`` is a bar's, in percent of the room for
    both directions, so at most 50.
    """
    sums: dict[str, float] = defaultdict(float)
    for word, value in zip(words, explanation.attributions.tolist(), strict=True):
        sums[word] += value
    order = sorted(sums, key=lambda word: -abs(sums[word]))
    strongest = abs(sums[order[0]]) or 1.0
    bars = [
        {"word": word, "adds": sums[word], "width": 50 * abs(sums[word]) / strongest}
        for word in order[:MOST_BARS]
    ]
    rest = [sums[word] for word in order[MOST_BARS:]]
    return bars, {"count": len(rest), "adds": sum(rest)} if rest else None


def _rows(activity: Activity, words: Sequence[str]) -> list[tuple[str, ...]]:
    columns = (activity.input, activity.forget, activity.output, activity.cell)
    values = [[f"{value:.2f}" for value in column] for column in columns]
    return list(zip(words, *values, strict=True))


def strengths(explanation: Explanation) -> list[float]:
    """Return each word's attribution as a share of the strongest one, from -1 to 1."""
    strongest = float(abs(explanation.attributions).max()) or 1.0
    shares = [float(share) for share in explanation.attributions / strongest]
    return [share if abs(share) >= FAINTEST else 0.0 for share in shares]


def printable_words(words: Sequence[str]) -> list[str]:
    """Return the words without control characters and marks that change the text direction."""
    kept = ["".join(m for m in w if unicodedata.category(m) not in _CONTROL) for w in words]
    return [word or "\ufffd" for word in kept]


_CONTROL = {"Cc", "Cf", "Cs"}


def running_chart(explanation: Explanation, words: Sequence[str]) -> str:
    """Draw the probability of the text up to each word, as SVG."""
    with _drawing("running", 1) as figure:
        axes = figure.subplots()
        axes.axhline(explanation.threshold, ls="--", color=INK, alpha=0.5, lw=0.9)
        axes.plot(range(1, len(words) + 1), explanation.running, "o-", color=BLUE)
        axes.set(ylim=(-0.04, 1.04), ylabel="P(positive) so far")
        axes.grid(axis="y")
        _name_words(axes, words)
        return as_svg(figure, "running", "Probability of positive up to each word")


def gates_chart(directions: Sequence[tuple[str, Activity]], words: Sequence[str]) -> str:
    """Draw the gates of each direction and the cells, as SVG."""
    with _drawing("gates", 1 + len(directions)) as figure:
        panels = figure.subplots(1 + len(directions), sharex=True)
        places = range(1, len(words) + 1)
        for panel, (name, activity) in zip(panels, directions, strict=False):
            _draw_gates(panel, activity, places, f"Gates,\nreading {name}")
        _draw_cells(panels[-1], directions, places)
        for panel in panels:
            panel.grid(axis="y")
        _name_words(panels[-1], words)
        figure.align_ylabels()
        return as_svg(figure, "gates", "Gates and cell of the LSTM at each word")


@contextmanager
def _drawing(name: str, panels: int) -> Iterator[Figure]:
    with house_style(name), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # the browser's fonts draw the words
        yield Figure(figsize=(WIDTH, 1.2 + 1.5 * panels), layout="constrained")


def _name_words(axes: Axes, words: Sequence[str]) -> None:
    """Put the words on the axis, or their numbers if they are many."""
    if len(words) <= MOST_LABELS:
        labels = [w if len(w) <= LONGEST_WORD else w[: LONGEST_WORD - 1] + "…" for w in words]
        axes.set_xticks(range(1, len(words) + 1), labels, rotation=90, parse_math=False)
    else:
        axes.set_xlabel("Word")


def _draw_gates(panel: Axes, activity: Activity, places: Sequence[int], label: str) -> None:
    for name, line, colour in (("input", "-", BLUE), ("forget", "-", ORANGE), ("output", ":", INK)):
        panel.plot(places, getattr(activity, name), line, color=colour, label=name)
    panel.set(ylim=(0, 1), ylabel=label)
    panel.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3)


def _draw_cells(
    panel: Axes, directions: Sequence[tuple[str, Activity]], places: Sequence[int]
) -> None:
    for (name, activity), line, colour in zip(directions, "-:", (BLUE, ORANGE), strict=False):
        panel.plot(places, activity.cell, line, color=colour, label=name)
    panel.set(ylim=(0, None), ylabel="Norm of\nthe cell")
    if len(directions) > 1:
        panel.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
