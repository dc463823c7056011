"""The numbers behind each chart, as tables; the first row of each is its head."""

from collections.abc import Mapping, Sequence
from typing import Any

from sentiment.reports.numbers import NO_VALUE, interval, number, percent
from sentiment.reports.sections import MEASURE_NAMES, accuracies_by_length, accuracies_by_unknown

Table = list[tuple[str, ...]]
MOST_POINTS = 20  # rows of a curve's table


def all_tables(metrics: dict[str, Any], history: Sequence[dict[str, Any]]) -> dict[str, Table]:
    """Return a table for each chart of a report, by the chart's name."""
    return {
        "confusion": confusion_table(metrics),
        "by_length": [("Tokens", *ACCURACY), *accuracies_by_length(metrics)],
        "by_unknown": [("Unknown words", *ACCURACY), *accuracies_by_unknown(metrics)],
        **{name: curve_table(head, metrics[name]) for name, head in CURVES.items()},
        "calibration": calibration_table(metrics),
        "training": training_table(history),
    }


CURVES = {
    "roc": ("False positive rate", "True positive rate"),
    "precision_recall": ("Recall", "Precision"),
}
ACCURACY = ("Reviews", "Accuracy", "95 % interval")


def confusion_table(metrics: dict[str, Any]) -> Table:
    """Return the confusion matrix."""
    counts = {name: f"{count:,}" for name, count in metrics["confusion"].items()}
    return [
        ("", "Predicted negative", "Predicted positive"),
        ("Labelled negative", counts["true_negative"], counts["false_positive"]),
        ("Labelled positive", counts["false_negative"], counts["true_positive"]),
    ]


def curve_table(head: tuple[str, ...], points: Sequence[Sequence[float]]) -> Table:
    """Return at most MOST_POINTS points of a curve of shares, including both ends."""
    return [head, *(tuple(percent(value, 1) for value in point) for point in thinned(points))]


def thinned(points: Sequence[Any]) -> list[Any]:
    """Return at most MOST_POINTS of a sequence, evenly spread, including both ends."""
    if len(points) <= MOST_POINTS:
        return list(points)
    return [points[at * (len(points) - 1) // (MOST_POINTS - 1)] for at in range(MOST_POINTS)]


def calibration_table(metrics: dict[str, Any]) -> Table:
    """Return predicted probabilities beside the share of positive labels."""
    return [
        ("Probability", "Reviews", "Mean probability", "Labelled positive"),
        *(
            (
                f"{each['from']:g}–{each['to']:g}",
                f"{each['rows']:,}",
                percent(each["confidence"], 1),
                percent(each["positive_share"], 1),
            )
            for each in metrics["calibration"]["bins"]
        ),
    ]


def training_table(history: Sequence[dict[str, Any]]) -> Table:
    """Return the rows with a validation, and the last row."""
    kept = [row for row in history[:-1] if row.get("validation_loss") is not None]
    return [
        ("Step", "Epoch", "Training loss", "Validation loss", "Validation accuracy"),
        *(
            (
                f"{row['step']:,}",
                f"{row['epoch']:.2f}",
                number(row.get("train_loss")),
                number(row.get("validation_loss")),
                percent(row.get("validation_accuracy"), 2),
            )
            for row in [*kept, *history[-1:]]
        ),
    ]


def curve_tables(others: Mapping[str, dict[str, Any]]) -> dict[str, list[tuple[str, Table]]]:
    """Return the tables of other models' curves, with the models' names, by the chart's name."""
    return {
        chart: [
            (name.capitalize(), curve_table(head, curves[chart])) for name, curves in others.items()
        ]
        for chart, head in CURVES.items()
    }


def score_tables(scores: dict[str, Any]) -> dict[str, Table]:
    """Return the tables of the charts that are drawn from a report's ``scores``."""
    return {
        "histogram": [
            ("Probability", "Labelled negative", "Labelled positive"),
            *(
                (
                    f"{each['from']:g}–{each['to']:g}",
                    f"{each['negative']:,}",
                    f"{each['positive']:,}",
                )
                for each in scores["histogram"]
            ),
        ],
        "threshold": [
            ("Threshold", "Precision", "Recall", MEASURE_NAMES[scores["measure"]]),
            *(
                (
                    f"{row['threshold']:.2f}",
                    percent(row["precision"], 1),
                    percent(row["recall"], 1),
                    f"{row['value']:.3f}",
                )
                for row in scores["thresholds"][4::5]
            ),
        ],
        "answered": [
            ("Answered", "Accuracy", "95 % interval", "Scores for people"),
            *(
                (
                    percent(row["answered"], 0),
                    percent(row["accuracy"], 1),
                    interval(row["interval"], 1),
                    NO_VALUE if row["low"] is None else f"{row['low']:.2f}–{row['high']:.2f}",
                )
                for row in scores["answered"]["rows"]
            ),
        ],
    }
