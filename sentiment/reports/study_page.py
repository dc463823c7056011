"""A settings search as one self-contained HTML page."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from sentiment.reports.charts import BLUE, INK, ORANGE, WIDE, as_svg, house_style
from sentiment.reports.pages import render_page

TEMPLATE = Path(__file__).parent / "templates" / "study.html.j2"
COLUMNS, CELL = 2, (2.7, 2.3)  # of the grid of settings; a cell in inches
LOSS = "validation loss"  # the last of the parallel axes
LANE = 0.75  # inches of an axis of the parallel coordinates


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
    log: Collection[str] = (),
) -> str:
    """Return the page: best trial, progress of the search, learning curves, importances, trials.

    ``importances`` are shares of 1 by path, empty if there are too few trials. ``log`` names the
    settings that are searched by their logarithms, and so drawn.
    """
    best = best_of(trials)
    paths = list(dict.fromkeys(path for trial in trials for path in trial.values))
    svgs = {}
    if best is not None:
        svgs["history"] = history_chart(trials)
        svgs["slices"] = slice_charts(trials, paths, log)
        svgs["parallel"] = parallel_chart(trials, paths, log)
    validations = max((len(trial.losses) for trial in trials), default=0)
    if validations > 1:
        svgs["curves"] = curves_chart(trials)
    if importances:
        svgs["importances"] = importance_chart(importances)
    ranked = sorted(importances, key=lambda path: -importances[path])
    return render_page(
        TEMPLATE.read_text(encoding="utf-8"),
        name=name,
        best=best,
        trials=trials,
        paths=paths,
        details=details,
        charts={key: Markup(svg) for key, svg in svgs.items()},  # our own words and numbers
        formatted=formatted,
        shares=[(path, f"{100 * importances[path]:.0f} %") for path in ranked],
        validations=[str(place) for place in range(1, validations + 1)],
        losses=[
            (f"{t.number}, {t.state}", *_padded([f"{x:.4f}" for x in t.losses], validations))
            for t in trials
            if t.losses
        ],
    )


def _padded(cells: list[str], length: int) -> list[str]:
    return cells + ["—"] * (length - len(cells))


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
        axes.set(xlabel="Trial", ylabel="Validation loss (nats)")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y")
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3)
        return as_svg(figure, "study-history", "Validation loss of each trial")


def curves_chart(trials: Sequence[StudyTrial]) -> str:
    """Draw each trial's validation loss at each of its validations, with the best trial's apart."""
    best = best_of(trials)
    kinds = (("pruned", ":", INK), ("complete", "-", BLUE))
    with house_style("study-curves"):
        figure = Figure(figsize=WIDE, layout="constrained")
        axes = figure.subplots()
        for state, line, colour in kinds:
            drawn = [t for t in trials if t.state == state and t.losses and t is not best]
            for trial in drawn:
                label = state if trial is drawn[0] else None
                _curve(axes, trial, line, color=colour, alpha=0.45, linewidth=1, label=label)
        if best is not None:
            _curve(axes, best, "-", color=ORANGE, linewidth=2, label="best")
        axes.set(xlabel="Validation", ylabel="Validation loss (nats)")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y")
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3)
        return as_svg(figure, "study-curves", "Validation loss during each trial")


def _curve(axes: Axes, trial: StudyTrial, line: str, **style: Any) -> None:
    places = range(1, len(trial.losses) + 1)
    mark = "o" if len(places) == 1 else ""  # or it would not be seen
    axes.plot(places, trial.losses, line, marker=mark, markersize=3, **style)


def parallel_chart(
    trials: Sequence[StudyTrial], paths: Sequence[str], log: Collection[str] = ()
) -> str:
    """Draw each complete trial as a line through its settings and its loss, one axis below another.

    The lower its loss, the stronger a line is drawn; the best is orange.
    """
    best = best_of(trials)
    complete = _with_loss(trials, "complete")
    better = sorted(complete, key=lambda trial: trial.loss or 0.0, reverse=True)
    lanes = [(path, [t.values.get(path) for t in complete], path in log) for path in paths]
    lanes.append((LOSS, [t.loss for t in complete], False))
    with house_style("study-parallel"):
        figure = Figure(figsize=(WIDE[0], 0.4 + LANE * len(lanes)), layout="constrained")
        axes = figure.subplots()
        columns = []
        for lane, (path, values, is_log) in enumerate(lanes):
            ticks, place = _lane(
                [v for v, t in zip(values, complete, strict=True) if _has(t, path)], is_log
            )
            columns.append(
                [
                    place(value) if _has(trial, path) else math.nan
                    for value, trial in zip(values, complete, strict=True)
                ]
            )
            axes.plot([0, 1], [lane, lane], color=INK, alpha=0.35, linewidth=0.8)
            end, side = (1, "right") if path == LOSS else (0, "left")  # away from the best
            axes.text(end, lane - 0.16, path, va="bottom", ha=side, weight="bold", size=8)
            for at, text in ticks:
                align = "left" if at < 0.05 else "right" if at > 0.95 else "center"
                axes.text(at, lane + 0.1, text, va="top", ha=align, size=8)
        for trial, points in zip(complete, zip(*columns, strict=True), strict=True):
            is_best = trial is best
            axes.plot(
                points,
                range(len(lanes)),
                "o-",
                color=ORANGE if is_best else BLUE,
                alpha=1 if is_best else 0.15 + 0.6 * better.index(trial) / len(better),
                linewidth=2 if is_best else 1,
                markersize=3,
                zorder=3 if is_best else 2,
                clip_on=False,
            )
        axes.set(xlim=(-0.02, 1.02), ylim=(len(lanes) - 0.55, -0.5))
        axes.set_axis_off()
        return as_svg(figure, "study-parallel", "Settings and loss of each complete trial")


def _has(trial: StudyTrial, path: str) -> bool:
    return path in trial.values or path == LOSS


def _lane(
    values: Sequence[Any], log: bool
) -> tuple[list[tuple[float, str]], Callable[[Any], float]]:
    """Return labels along an axis from 0 to 1, and a function from value to place."""
    if not _are_numbers(values):
        names = sorted({str(value) for value in values})
        step = 1 / max(1, len(names) - 1)
        found = {name: at * step for at, name in enumerate(names)}
        return [(at, name) for name, at in found.items()], lambda value: found[str(value)]
    scale: Callable[[float], float] = math.log if log else float
    low, high = min(values), max(values)
    if low == high:
        return [(0.5, formatted(low))], lambda _: 0.5
    start, width = scale(low), scale(high) - scale(low)
    ends = [(0.0, formatted(low)), (1.0, formatted(high))]
    return ends, lambda value: (scale(value) - start) / width


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


def slice_charts(
    trials: Sequence[StudyTrial], paths: Sequence[str], log: Collection[str] = ()
) -> str:
    """Draw the loss against each setting, one panel per setting; those in ``log`` by logarithms."""
    complete, pruned = _with_loss(trials, "complete"), _with_loss(trials, "pruned")
    rows = math.ceil(len(paths) / COLUMNS)
    with house_style("study-slices"):
        size = (CELL[0] * COLUMNS, CELL[1] * rows)
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(rows, COLUMNS, sharey=True, squeeze=False)
        for axes, path in zip(panels.flat, paths, strict=False):
            values = [t.values[path] for t in (*complete, *pruned) if path in t.values]
            place = _scale(axes, values, path in log)
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


def _are_numbers(values: Sequence[Any]) -> bool:
    numbers = (isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return bool(values) and all(numbers)


def _scale(axes: Axes, values: Sequence[Any], log: bool) -> Any:
    """Set up the axis for values of any type; return a function from value to position."""
    if _are_numbers(values):
        if log:
            axes.set_xscale("log")
            ratio = max(values) / min(values)
            powers = LogLocator(subs=(1, 2, 5) if ratio < 100 else (1,))
            axes.xaxis.set_major_locator(powers if ratio > 5 else MaxNLocator(4))
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
