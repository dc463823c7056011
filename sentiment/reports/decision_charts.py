"""Charts of what to decide by a model's scores: the threshold, and which reviews people read."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sentiment.reports.charts import BLUE, HALF, INK, ORANGE, as_svg, house_style
from sentiment.reports.sections import MEASURE_NAMES


def histogram_chart(scores: dict[str, Any], threshold: float) -> str:
    """Draw how many reviews of each label have which score: positive above, negative below."""
    bins = scores["histogram"]
    middles = [(each["from"] + each["to"]) / 2 for each in bins]
    width = 0.9 * (bins[0]["to"] - bins[0]["from"])
    with house_style("histogram"):
        figure = Figure(figsize=HALF, layout="constrained")
        panels = figure.subplots(2, sharex=True, sharey=True)
        for axes, label, colour in zip(
            panels, ("positive", "negative"), (BLUE, ORANGE), strict=True
        ):
            counts = [each[label] for each in bins]
            axes.bar(middles, counts, width, color=colour, alpha=0.7, linewidth=0)
            axes.axvline(threshold, ls="--", color=INK, alpha=0.6, lw=0.9)
            axes.set_ylabel(f"Labelled\n{label}")
            axes.grid(axis="y")
        panels[1].set(xlim=(0, 1), xlabel="Probability of positive (dashed: threshold)")
        figure.align_ylabels()
        return as_svg(figure, "histogram", "Scores of the test reviews by their label")


def threshold_chart(scores: dict[str, Any], threshold: float) -> str:
    """Draw precision, recall and the chosen measure over the threshold."""
    rows = scores["thresholds"]
    name = MEASURE_NAMES[scores["measure"]]
    with house_style("threshold"):
        figure = Figure(figsize=HALF, layout="constrained")
        axes = figure.subplots()
        for key, label, colour, style in (
            ("precision", "precision", BLUE, "-"),
            ("recall", "recall", ORANGE, "-"),
            ("value", name, INK, "-"),
        ):
            kept = [(row["threshold"], row[key]) for row in rows if row[key] is not None]
            if kept:
                axes.plot(*zip(*kept, strict=True), style, color=colour, label=label)
        _upright(axes, threshold, "--", f"in use {threshold:.3g}")
        _upright(axes, scores["suggested"], ":", f"highest {name} {scores['suggested']:.3g}")
        axes.set(xlim=(0, 1), xlabel="Threshold", ylim=(None, 1.02))
        axes.grid(axis="y")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, fontsize=8)
        return as_svg(figure, "threshold", f"Precision, recall and {name} over the threshold")


def answered_chart(scores: dict[str, Any]) -> str:
    """Draw the accuracy against the share of reviews that the model answers."""
    rows, halved = scores["answered"]["rows"], scores["answered"]["halved"]
    shares = [100 * row["answered"] for row in rows]
    with house_style("answered"):
        figure = Figure(figsize=HALF, layout="constrained")
        axes = figure.subplots()
        low, high = zip(*(row["interval"] for row in rows), strict=True)
        axes.fill_between(
            shares,
            [100 * end for end in low],
            [100 * end for end in high],
            color=BLUE,
            alpha=0.18,
            linewidth=0,
            label="95 % interval",
        )
        axes.plot(shares, [100 * row["accuracy"] for row in rows], color=BLUE, label="accuracy")
        if halved is not None:
            place = 100 * halved["answered"], 100 * halved["accuracy"]
            axes.plot(*place, "o", color=ORANGE, markersize=5.5, label="half the errors")
        axes.set(xlim=(100, 0), xlabel="Answered by the model, % of the reviews")
        axes.set_ylabel("Accuracy of these, %")
        axes.grid()
        axes.legend(loc="lower right")
        return as_svg(figure, "answered", "Accuracy against the share of reviews answered")


def _upright(axes: Axes, at: float, style: str, label: str) -> None:
    axes.axvline(at, ls=style, color=INK, lw=1.1, label=label)
