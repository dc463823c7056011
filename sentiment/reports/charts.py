"""The report's charts, as SVG to embed in an HTML page.

Equal inputs give equal bytes. A chart scales with its container and takes its text colour from the
page (``currentColor``), so it works on light and dark backgrounds.
"""

import io
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from threading import Lock
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from sentiment.evaluation.metrics import length_label, unknown_label

# Distinct for colour-blind readers, with a contrast of at least 3:1 on white and on near-black.
BLUE, ORANGE = "#3a7fc4", "#d06a0c"
# Replaced by the page's text colour when the SVG is written; no series uses it.
INK = "#010203"
Curves = Mapping[str, dict[str, Any]]
OTHERS: tuple[Any, ...] = ({"ls": ":", "color": ORANGE}, {"ls": "-.", "color": INK, "lw": 1.1})

WIDE, TALL, HALF = (5.4, 3.5), (5.4, 4.2), (4.2, 3.1)  # inches; times 72 in the viewBox

_STYLE: Any = {  # matplotlib's own type lists every possible key
    "svg.fonttype": "none",
    "font.size": 9,
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same layout everywhere
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "text.color": INK,
    "grid.color": INK,
    "grid.alpha": 0.12,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.5,
    "lines.markersize": 4,
    "legend.frameon": False,
    "legend.borderpad": 0,
    "legend.borderaxespad": 0.4,
    "legend.handlelength": 1.6,
}
# matplotlib's settings are global, and runs may draw in several threads.
_DRAWING = Lock()


@contextmanager
def house_style(name: str) -> Iterator[None]:
    """Draw in the house style, ignoring the user's matplotlibrc."""
    with _DRAWING, matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        matplotlib.rcParams["svg.hashsalt"] = name
        yield


def training_chart(history: Sequence[dict[str, Any]]) -> str:
    """Draw loss, validation accuracy and learning rate over the epochs.

    ``history`` holds rows with ``epoch``, ``train_loss``, ``validation_loss``,
    ``validation_accuracy`` and ``learning_rate``; a value that is None or NaN is left out. The
    learning rate is drawn only if it changes. Raises ValueError without rows.
    """
    if not history:
        raise ValueError("the training history has no rows, so there is nothing to draw")
    rates = _series(history, "learning_rate")
    accuracies = _series(history, "validation_accuracy")
    with_rate, with_accuracy = len(set(rates[1])) > 1, bool(accuracies[0])
    last = max(row["epoch"] for row in history)
    heights = [1.0, *[0.7] * with_accuracy, *[0.35] * with_rate]

    with house_style("training-curve"):
        figure = Figure(figsize=TALL if len(heights) > 1 else WIDE, layout="constrained")
        panels = figure.subplots(len(heights), sharex=True, height_ratios=heights, squeeze=False)
        loss, *others = panels[:, 0]
        for key, label, colour in (
            ("train_loss", "training", BLUE),
            ("validation_loss", "validation", ORANGE),
        ):
            x, y = _series(history, key)
            if x:
                loss.plot(x, y, _marks(x), color=colour, label=label)
        loss.set_ylabel("Loss (nats)")
        if loss.lines:
            _legend_above(loss, columns=2)
        if with_accuracy:
            panel = others.pop(0)
            panel.plot(*accuracies, _marks(accuracies[0]), color=ORANGE)
            panel.set_ylabel("Accuracy")
            panel.yaxis.set_major_formatter(_percent)
        if with_rate:
            panel = others.pop(0)
            panel.plot(*rates, color=BLUE)
            panel.set_ylim(bottom=0)
            panel.yaxis.set_major_formatter(lambda rate, _: f"{rate:.4g}")
            panel.set_ylabel("Learning\nrate")
        for panel, height in zip(panels[:, 0], heights, strict=True):
            panel.grid(axis="y")
            panel.yaxis.set_major_locator(MaxNLocator(round(5 * height), steps=[1, 2, 5, 10]))
        figure.align_ylabels()
        panels[-1, 0].set(xlabel="Epochs", xlim=(0, last * 1.02 or 1))
        return as_svg(figure, "training-curve", "Training: loss and accuracy over the epochs")


def roc_chart(metrics: dict[str, Any], others: Curves | None = None) -> str:
    """Draw the true positive rate against the false positive rate.

    ``others`` holds the curves of other models by their names.
    """

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], "--", color=INK, alpha=0.5, linewidth=0.9, label="chance")
        for (name, other), style in zip((others or {}).items(), OTHERS, strict=False):
            axes.plot(*zip(*other["roc"], strict=True), **style, label=name)
        axes.plot(*zip(*metrics["roc"], strict=True), color=BLUE, label="model")
        counts = metrics["confusion"]
        negatives = counts["false_positive"] + counts["true_negative"]
        _mark_threshold(axes, metrics, counts["false_positive"] / negatives, metrics["recall"])

    title = f"ROC curve, area {metrics['roc_auc']:.4f}" if metrics["roc"] else "ROC curve"
    return _unit_square(
        "roc-curve",
        title,
        labels=("False positive rate", "True positive rate"),
        draw=draw if metrics["roc"] else None,
    )


def precision_recall_chart(metrics: dict[str, Any], others: Curves | None = None) -> str:
    """Draw precision against recall. ``others`` holds other models' curves by their names."""

    def draw(axes: Axes) -> None:
        share, points = metrics["positive_share"], metrics["precision_recall"]
        axes.axhline(share, ls="--", color=INK, alpha=0.5, lw=0.9, label="chance")
        for (name, other), style in zip((others or {}).items(), OTHERS, strict=False):
            _stairs(axes, other["precision_recall"], **style, label=name)
        _stairs(axes, points, color=BLUE, label="model")
        if metrics["precision"] is not None:
            _mark_threshold(axes, metrics, metrics["recall"], metrics["precision"])

    title = "Precision and recall"
    if metrics["precision_recall"]:
        title += f", average precision {metrics['average_precision']:.4f}"
    return _unit_square(
        "precision-recall",
        title,
        labels=("Recall", "Precision"),
        draw=draw if metrics["precision_recall"] else None,
    )


def _stairs(axes: Axes, points: Sequence[Sequence[float]], **style: Any) -> None:
    recall, precision = zip(*[(0.0, points[0][1]), *points], strict=True)
    axes.step(recall, precision, where="pre", **style)


def confusion_chart(metrics: dict[str, Any]) -> str:
    """Draw the confusion matrix, shaded by the share of each label's reviews."""
    counts = metrics["confusion"]
    table = [
        [counts["true_negative"], counts["false_positive"]],
        [counts["false_negative"], counts["true_positive"]],
    ]
    with house_style("confusion"):
        figure = Figure(figsize=HALF, layout="constrained")
        axes = figure.subplots()
        for row, line in enumerate(table):
            for column, count in enumerate(line):
                share = count / max(1, sum(line))
                colour = BLUE if row == column else ORANGE
                cell = (column - 0.49, row - 0.49)
                axes.add_patch(
                    Rectangle(
                        cell, 0.98, 0.98, facecolor=colour, alpha=0.04 + 0.41 * share, linewidth=0
                    )
                )
                axes.text(column, row - 0.08, f"{count:,}", ha="center", va="center", size=13)
                axes.text(column, row + 0.2, f"{share * 100:.1f} %", ha="center")
        axes.set(xlim=(-0.5, 1.5), ylim=(1.5, -0.5), xlabel="Predicted", ylabel="Labelled")
        axes.set_xticks([0, 1], ["negative", "positive"])
        axes.set_yticks([0, 1], ["negative", "positive"], rotation=90, va="center")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        return as_svg(figure, "confusion", "Confusion matrix: counts, and shares of each label")


def accuracy_by_length_chart(metrics: dict[str, Any]) -> str:
    """Draw the accuracy by review length, with 95 % intervals."""
    bins = metrics["by_length"]
    return _accuracy_by(
        "accuracy-by-length",
        "Accuracy by review length",
        metrics,
        bins,
        names=[length_label(each) for each in bins],
        axis="Review length (tokens)",
    )


def accuracy_by_unknown_chart(metrics: dict[str, Any]) -> str:
    """Draw the accuracy by share of unknown words, with 95 % intervals."""
    bins = metrics["by_unknown"]
    return _accuracy_by(
        "accuracy-by-unknown",
        "Accuracy by share of unknown words",
        metrics,
        bins,
        names=[unknown_label(each) for each in bins],
        axis="Unknown words",
    )


def _accuracy_by(
    name: str,
    title: str,
    metrics: dict[str, Any],
    bins: Sequence[dict[str, Any]],
    *,
    names: Sequence[str],
    axis: str,
) -> str:
    places = range(len(bins))
    shares = [each["accuracy"] for each in bins]
    with house_style(name):
        figure = Figure(figsize=HALF, layout="constrained")
        axes = figure.subplots()
        axes.barh(places, shares, height=0.62, color=BLUE, alpha=0.55, linewidth=0)
        axes.errorbar(
            shares,
            places,
            xerr=_reach(shares, bins),
            fmt="none",
            color=INK,
            elinewidth=1,
            capsize=2,
        )
        for place, each in zip(places, bins, strict=True):
            note = f"{each['accuracy'] * 100:.1f} % of {each['rows']:,}"
            axes.text(1.04, place, note, va="center", size=8)
        axes.axvline(
            metrics["accuracy"], ls="--", color=INK, alpha=0.5, lw=0.9, label="all reviews"
        )
        axes.set_yticks(places, names)
        axes.tick_params(axis="y", length=0)
        axes.set(xlim=(0, 1), ylim=(len(bins) - 0.5, -0.5), xlabel="Accuracy, 95 % interval")
        axes.set_ylabel(axis)
        axes.xaxis.set_major_formatter(_percent)
        axes.spines["left"].set_visible(False)
        _legend_above(axes, columns=1)
        return as_svg(figure, name, title)


def calibration_chart(metrics: dict[str, Any]) -> str:
    """Draw the share of positive labels by predicted probability, and a histogram of the latter."""
    bins = metrics["calibration"]["bins"]
    shares = [each["positive_share"] for each in bins]
    with house_style("calibration"):
        figure = Figure(figsize=HALF, layout="constrained")
        upper, lower = figure.subplots(2, sharex=True, height_ratios=[1, 0.28])
        upper.plot([0, 1], [0, 1], "--", color=INK, alpha=0.5, lw=0.9, label="perfect")
        upper.errorbar(
            [each["confidence"] for each in bins],
            shares,
            yerr=_reach(shares, bins),
            fmt="o",
            color=BLUE,
            elinewidth=1,
            capsize=2,
            label="model, 95 % interval",
        )
        upper.set(xlim=(0, 1), ylim=(-0.02, 1.02), ylabel="Labelled positive")
        upper.yaxis.set_major_formatter(_percent)
        upper.grid()
        _legend_above(upper, columns=2)
        lower.bar(
            [each["from"] for each in bins],
            [each["rows"] / metrics["rows"] for each in bins],
            width=[each["to"] - each["from"] - 0.01 for each in bins],
            align="edge",
            color=BLUE,
            alpha=0.55,
            linewidth=0,
        )
        lower.set(xlabel="Probability of positive", ylabel="Reviews")
        lower.yaxis.set_major_formatter(_percent)
        lower.yaxis.set_major_locator(MaxNLocator(2))
        figure.align_ylabels()
        error = metrics["calibration"]["ece"]
        return as_svg(figure, "calibration", f"Calibration, expected error {error:.4f}")


def _percent(share: float, _: float) -> str:
    """Return a tick's label, without trailing zeros."""
    return f"{round(share * 100, 2):g} %"


def _series(history: Sequence[dict[str, Any]], key: str) -> tuple[list[float], list[float]]:
    """Return the epochs and values of one column, without rows that have no finite value."""
    rows = [(row["epoch"], row[key]) for row in history if row.get(key) is not None]
    kept = [(float(x), float(y)) for x, y in rows if math.isfinite(y)]
    return [x for x, _ in kept], [y for _, y in kept]


def _marks(x: Sequence[float]) -> str:
    """Mark points if there are few, so that a single one is visible."""
    return "o-" if len(x) <= 30 else "-"


def _reach(shares: Sequence[float], bins: Sequence[dict[str, Any]]) -> list[list[float]]:
    """Return the intervals as matplotlib expects them: distances below and above the shares."""
    ends = [(each["interval"], share) for each, share in zip(bins, shares, strict=True)]
    return [
        [max(0.0, share - low) for (low, _), share in ends],
        [max(0.0, high - share) for (_, high), share in ends],
    ]


def _mark_threshold(axes: Axes, metrics: dict[str, Any], x: float, y: float) -> None:
    label = f"threshold {metrics['threshold']:g}"
    axes.plot(x, y, "o", color=ORANGE, markersize=5.5, label=label, clip_on=False, zorder=5)


def _legend_above(axes: Axes, *, columns: int) -> None:
    """Put the legend above the plot, where it covers no data."""
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=columns)


def _unit_square(
    name: str, title: str, *, labels: tuple[str, str], draw: Callable[[Axes], None] | None
) -> str:
    """Draw a curve in the unit square, or a note that it is undefined."""
    with house_style(name):
        figure = Figure(figsize=HALF, layout="constrained")
        axes = figure.subplots()
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel=labels[0], ylabel=labels[1])
        axes.grid()
        if draw is None:
            axes.text(0.5, 0.5, "undefined: one class only", ha="center", va="center")
        else:
            draw(axes)
            axes.legend(loc="lower right")
        return as_svg(figure, name, title)


def as_svg(figure: Figure, name: str, title: str) -> str:
    """Return the figure as an ``<svg>`` element, safe to embed next to others in one page."""
    # The layout solver sorts by memory address, so its last bits differ between runs.
    solver = figure.get_layout_engine()
    assert solver is not None
    solver.execute(figure)
    figure.set_layout_engine("none")
    for axes in figure.axes:
        left, bottom, width, height = (round(side, 3) for side in axes.get_position().bounds)
        axes.set_position((left, bottom, width, height))

    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    _, opening, body = re.split(r"(<svg [^>]*>)", buffer.getvalue(), maxsplit=1)

    # matplotlib gives every group an id. Keep the referenced ones, and make them unique per page.
    body = re.sub(r"<style.*?</style>", "", body)  # its selector * would match the whole page
    used = set(re.findall(r"#(\w+)", body))
    body = re.sub(r' id="([^"]+)"', lambda m: m[0] if m[1] in used else "", body)
    body = re.sub(r'( id="|href="#|url\(#)(\w+)', rf"\1{name}-\2", body)

    body = body.replace(INK, "currentColor")
    body = re.sub(r"'DejaVu Sans'[^;\"]*", "system-ui, sans-serif", body)
    box = re.search(r'viewBox="[^"]+"', opening)
    assert box is not None
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'{box[0]} width="100%" role="img" aria-labelledby="{name}-title" '
        f'style="stroke-linejoin: round; stroke-linecap: butt">\n'
        f'<title id="{name}-title">{escape(title)}</title>{body.rstrip()}\n'
    )
