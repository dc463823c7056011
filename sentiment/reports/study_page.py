"""A settings search as one self-contained HTML page."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from sentiment.reports.charts import BLUE, INK, ORANGE, WIDE, as_svg, house_style
from sentiment.reports.templating import render

TEMPLATE = Path(__file__).parent / "templates" / "study.html.j2"
COLUMNS, CELL = 2, (2.7, 2.3)  # of the grid of settings; a cell in inches


@dataclass(frozen=True)
class StudyTrial:
    """One training with its own settings: ``values`` by path.

    ``state`` is complete, pruned or failed. ``loss`` (nats) and ``accuracy`` are the best on the
    validation reviews, or the last loss of a pruned trial; ``losses`` are those of all validations.
    """

    number: int
    state: str
    loss: float | None
    accuracy: float | None
    seconds: float | None
    values: Mapping[str, Any]
    losses: Sequence[float]
    note: str = ""


def best_of(trials: Sequence[StudyTrial]) -> StudyTrial | None:
    """Return the complete trial with the lowest loss; the first one of equals."""
    complete = [trial for trial in trials if trial.state == "complete" and trial.loss is not None]
    return min(complete, key=lambda trial: (trial.loss, trial.number), default=None)


def render_study(
    name: str,
    trials: Sequence[StudyTrial],
    importances: Mapping[str, float],
    details: Mapping[str, str],
) -> str:
    """Return the page: best trial, progress of the search, importances, all trials.

    ``importances`` are shares of 1 by path, empty if there are too few trials.
    """
    best = best_of(trials)
    paths = list(dict.fromkeys(path for trial in trials for path in trial.values))
    svgs = {}
    if best is not None:
        svgs["history"] = history_chart(trials)
        svgs["slices"] = slice_charts(trials, paths)
    if importances:
        svgs["importances"] = importance_chart(importances)
    return render(
        TEMPLATE.read_text(encoding="utf-8"),
        name=name,
        best=best,
        trials=trials,
        paths=paths,
        details=details,
        charts={key: Markup(svg) for key, svg in svgs.items()},  # our own words and numbers
        formatted=formatted,
    )


def formatted(value: Any) -> str:
    """Format a setting's value for readers."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def history_chart(trials: Sequence[StudyTrial]) -> str:
    """Draw each trial's validation loss, and the best so far."""
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
        axes.set(xlabel="StudyTrial", ylabel="Validation loss (nats)")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y")
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3)
        return as_svg(figure, "study-history", "Validation loss of each trial")


def importance_chart(shares: Mapping[str, float]) -> str:
    """Draw the importance of each setting, as a share of 1, the largest on top."""
    names = sorted(shares, key=lambda name: shares[name])
    with house_style("study-importances"):
        figure = Figure(figsize=(WIDE[0], 0.6 + 0.35 * len(names)), layout="constrained")
        axes = figure.subplots()
        axes.barh(names, [shares[name] for name in names], color=BLUE, height=0.6)
        axes.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
        axes.grid(axis="x")
        return as_svg(figure, "study-importances", "Importance of each setting")


def slice_charts(trials: Sequence[StudyTrial], paths: Sequence[str]) -> str:
    """Draw the loss against each setting, one panel per setting."""
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


def _with_loss(trials: Sequence[StudyTrial], state: str) -> list[StudyTrial]:
    return [trial for trial in trials if trial.state == state and trial.loss is not None]


def _scale(axes: Axes, values: Sequence[Any]) -> Any:
    """Set up the axis for values of any type; return a function from value to position."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        if min(values) > 0 and max(values) >= 10 * min(values):
            axes.set_xscale("log")
            room = max(values) < 100 * min(values)  # for more ticks than powers of ten
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
