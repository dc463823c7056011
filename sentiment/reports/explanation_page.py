"""An explanation as one HTML page, with a chart of the running probability and the gates.

The words are untrusted: the template escapes them, and the page's policy forbids loading or running
anything.
"""

import unicodedata
import warnings
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sentiment.explain.explanation import Activity, Explanation
from sentiment.reports.charts import BLUE, INK, ORANGE, as_svg, house_style
from sentiment.reports.templating import render

TEMPLATE = Path(__file__).parent / "templates" / "explanation.html.j2"
FAINTEST = 0.01  # of the strongest attribution; weaker words are not coloured
LONGEST_WORD, MOST_LABELS = 16, 50  # on the chart's axis


def render_explanation(explanation: Explanation) -> str:
    """Return the page. Equal explanations give equal bytes."""
    words = printable_words(explanation.words)
    return render(
        TEMPLATE.read_text(encoding="utf-8"),
        explanation=explanation,
        words=words,
        strengths=strengths(explanation),
        chart=Markup(explanation_chart(explanation, words)),
    )


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


def explanation_chart(explanation: Explanation, words: Sequence[str]) -> str:
    """Draw the running probability, and each direction's gates and cell, if any, as SVG."""
    both = (("forward", explanation.forward), ("backward", explanation.backward))
    directions = [(name, activity) for name, activity in both if activity is not None]
    heights = [1.3, *[1.0] * len(directions), *([0.8] if directions else [])]
    with house_style("explanation"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # the browser's fonts draw the words
        figure = Figure(figsize=(7.6, 1.7 * len(heights)), layout="constrained")
        rows = figure.subplots(len(heights), sharex=True, height_ratios=heights, squeeze=False)
        panels = rows[:, 0].tolist()
        places = range(1, len(words) + 1)
        running = panels[0]
        running.axhline(explanation.threshold, ls="--", color=INK, alpha=0.5, lw=0.9)
        running.plot(places, explanation.running, "o-", color=BLUE)
        running.set(ylim=(-0.04, 1.04), ylabel="P(positive)\nso far")
        for panel, (name, activity) in zip(panels[1:], directions, strict=False):
            _draw_gates(panel, activity, places, f"Gates,\nreading {name}")
        if directions:
            _draw_cells(panels[-1], directions, places)
        for panel in panels:
            panel.grid(axis="y")
        if len(words) <= MOST_LABELS:
            labels = [w if len(w) <= LONGEST_WORD else w[: LONGEST_WORD - 1] + "…" for w in words]
            panels[-1].set_xticks(places, labels, rotation=90, parse_math=False)
        else:
            panels[-1].set_xlabel("Word")
        figure.align_ylabels()
        drawn = "Running probability, gates and cell" if directions else "Running probability"
        return as_svg(figure, "explanation", f"{drawn}, word by word")


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
