"""The figures of a search for better settings, as SVG text."""

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from sentiment.reports.charts import BLUE, INK, ORANGE, WIDE, as_svg, house_style

if TYPE_CHECKING:
    from sentiment.reports.study_page import Trial

COLUMNS, CELL = 2, (2.7, 2.3)  # of the grid of settings; a cell in inches


def history(trials: "Sequence[Trial]") -> str:
    """Draw each trial's validation loss, and the best up to it."""
    complete, pruned = _with_loss(trials, "complete"), _with_loss(trials, "pruned")
    with house_style("study-history"):
        figure = Figure(figsize=WIDE, layout="constrained")
        axes = figure.subplots()
        for kind, mark, colour in ((complete, "o", BLUE), (pruned, "x", INK)):
            if kind:
                label = "complete" if kind is complete else "pruned"
                places = [trial.number for trial in kind]
                axes.plot(places, [t.loss or 0.0 for t in kind], mark, color=colour, label=label)
        best = accumulate((trial.loss or 0.0 for trial in complete), min)
        axes.step(
            [t.number for t in complete], list(best), where="post", color=ORANGE, label="best"
        )
        axes.set(xlabel="Trial", ylabel="Validation loss (nats)")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y")
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3)
        return as_svg(figure, "study-history", "Validation loss of each trial")


def importances(shares: Mapping[str, float]) -> str:
    """Draw how much each setting mattered, shares of 1, the most important on top."""
    names = sorted(shares, key=lambda name: shares[name])
    with house_style("study-importances"):
        figure = Figure(figsize=(WIDE[0], 0.6 + 0.35 * len(names)), layout="constrained")
        axes = figure.subplots()
        axes.barh(names, [shares[name] for name in names], color=BLUE, height=0.6)
        axes.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
        axes.grid(axis="x")
        return as_svg(figure, "study-importances", "Importance of each setting")


def slices(trials: "Sequence[Trial]", paths: Sequence[str]) -> str:
    """Draw the loss against each setting, a panel for each."""
    complete, pruned = _with_loss(trials, "complete"), _with_loss(trials, "pruned")
    rows = math.ceil(len(paths) / COLUMNS)
    with house_style("study-slices"):
        size = (CELL[0] * COLUMNS, CELL[1] * rows)
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(rows, COLUMNS, sharey=True, squeeze=False)
        for axes, path in zip(panels.flat, paths, strict=False):
            place = _scale(axes, [t.values[path] for t in (*complete, *pruned) if path in t.values])
            for kind, mark, colour in ((pruned, "x", INK), (complete, "o", BLUE)):
                points = [(place(t.values[path]), t.loss) for t in kind if path in t.values]
                if points:
                    axes.plot(*zip(*points, strict=True), mark, color=colour)
            axes.set_xlabel(path)
            axes.grid(axis="y")
        for axes in panels.flat[len(paths) :]:
            axes.set_visible(False)
        for axes in panels[:, 0]:
            axes.set_ylabel("Loss (nats)")
        return as_svg(figure, "study-slices", "Validation loss against each setting")


def _with_loss(trials: "Sequence[Trial]", state: str) -> "list[Trial]":
    return [trial for trial in trials if trial.state == state and trial.loss is not None]


def _scale(axes: Axes, values: Sequence[Any]) -> Any:
    """Prepare the axis for values of any kind; return what gives a value's place on it."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        if min(values) > 0 and max(values) >= 10 * min(values):
            axes.set_xscale("log")
            room = max(values) < 100 * min(values)  # for more than the powers of ten
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if room else (1,)))
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.minorticks_off()
        else:
            whole = all(isinstance(value, int) for value in values)
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=whole))
        return lambda value: value
    names = sorted({str(value) for value in values})
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.5, len(names) - 0.5)
    return lambda value: names.index(str(value))
