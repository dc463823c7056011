"""Two models side by side as one self-contained HTML page.

Reviews and names are untrusted: the template escapes them, and the page's policy forbids loading or
running anything.
"""

from collections.abc import Mapping
from pathlib import Path

from markupsafe import Markup
from matplotlib.figure import Figure as Drawing

from sentiment.evaluation.side_by_side import Figure
from sentiment.reports.charts import BLUE, INK, ORANGE, as_svg, house_style
from sentiment.reports.comparison import (
    LABELS,
    LESS_IS_BETTER,
    NAMES,
    Comparison,
    about_rows,
    figure_rows,
    settings_note,
    settings_rows,
    verdict,
)
from sentiment.reports.mistakes import excerpt
from sentiment.reports.pages import render_page

TEMPLATE = Path(__file__).parent / "templates" / "compare.html.j2"
WIDTH = 4.6  # inches of the chart; its letters can be read on a phone


def render_comparison(compared: Comparison) -> str:
    """Return the page. Equal comparisons give equal bytes."""
    rows = figure_rows(compared)
    chart = difference_chart(compared.difference) if compared.difference else None
    return render_page(
        TEMPLATE.read_text(encoding="utf-8"),
        compared=compared,
        verdict=verdict(compared),
        about=about_rows(compared),
        figures=rows if chart else [row[:3] for row in rows],
        settings=settings_rows(compared),
        settings_note=settings_note(compared),
        chart=chart and Markup(chart),  # our own words and numbers
        labels=LABELS,
        excerpt=excerpt,
    )


def difference_chart(differences: Mapping[str, Figure]) -> str:
    """Draw how much better B's figures are than A's, in hundredths, with 95 % intervals.

    Blue is better, orange worse, beyond chance.
    """
    drawn = {name: found for name, found in differences.items() if found.interval}
    with house_style("differences"):
        figure = Drawing(figsize=(WIDTH, 0.9 + 0.32 * len(drawn)), layout="constrained")
        axes = figure.subplots()
        axes.axvline(0, color=INK, alpha=0.5, linewidth=0.9)
        for place, (name, found) in enumerate(drawn.items()):
            assert found.interval is not None and found.value is not None
            sign = -100 if name in LESS_IS_BETTER else 100
            value, (low, high) = sign * found.value, sorted(sign * end for end in found.interval)
            colour = BLUE if low > 0 else ORANGE if high < 0 else INK
            axes.plot([low, high], [place, place], color=colour)
            axes.plot(value, place, "o", color=colour)
        axes.set_yticks(range(len(drawn)), [NAMES[name].removesuffix(" (nats)") for name in drawn])
        axes.set(ylim=(len(drawn) - 0.5, -0.5), xlabel="← A is better, hundredths, B is better →")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")
        return as_svg(figure, "differences", "How much better B is than A, in hundredths")
