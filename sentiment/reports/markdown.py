"""The report as Markdown, such as Prefect shows.

Texts of reviews come from strangers: every character that could mean something is escaped.
"""

import re
from collections.abc import Iterable
from typing import Any

from sentiment.reports import sections
from sentiment.reports.sections import Report, number, percent

# What Markdown or HTML may take for its own, wherever it stands; "1." and "1)" begin a list, "www."
# and "://" make a link.
_MEANINGFUL = re.compile(
    r"[\\`*_\[\]#+\-!|~$@^<>&]|(?<=\d)[.)](?=\s|$)|(?<=www)\.|(?<=:)/", re.IGNORECASE
)
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def render_markdown(report: Report) -> str:
    """Return the report as Markdown with tables instead of figures, such as Prefect shows."""
    metrics = report.metrics
    headline = sections.headline(metrics)
    counts = {name: f"{count:,}" for name, count in metrics["confusion"].items()}
    parts = [f"# {escape(report.title)}"]
    if report.data_note:
        parts.append(f"> **Note:** {escape(report.data_note)}")
    parts += [
        f"**Accuracy {headline['accuracy']}** ({headline['interval']}) on {headline['rows']} test "
        f"reviews. Always answering “{headline['majority']}” would reach "
        f"{headline['majority_accuracy']}.",
        *([champion] if (champion := sections.champion(report)) else []),
        *([linear] if (linear := sections.baseline(report)) else []),
        *([f"Promotion: {escape(report.promotion)}."] if report.promotion else []),
        table(("Measure", "Value"), sections.measures(metrics)),
    ]
    if rows := sections.parts(metrics):
        parts += ["## What each part contributes", table(rows[0], rows[1:])]
    if report.history:
        parts += ["## Training", _training_table(report.history)]
    parts += [
        "## Confusion matrix",
        table(
            ("", "Predicted negative", "Predicted positive"),
            [
                ("Labelled negative", counts["true_negative"], counts["false_positive"]),
                ("Labelled positive", counts["false_negative"], counts["true_positive"]),
            ],
        ),
        "## Accuracy by review length",
        table(("Tokens", "Reviews", "Accuracy", "95 % interval"), sections.by_length(metrics)),
        "## Accuracy by unknown words",
        table(("Unknown", "Reviews", "Accuracy", "95 % interval"), sections.by_unknown(metrics)),
        "## Calibration",
        _calibration_table(metrics),
        sections.calibration_words(metrics),
    ]
    if report.mistakes:
        parts.append("## Most confident mistakes")
        for each in sections.mistakes(report):
            parts += [
                f"**Labelled {each['label']}, predicted {each['predicted']}** · probability of "
                f"positive {each['probability']} · row {each['row']}",
                f"> {escape(each['text'])}",
                f"Towards positive: {escape(each['to_positive'])}; towards negative: "
                f"{escape(each['to_negative'])}.",
            ]
    if splits := sections.splits(report):
        parts += ["## Data", table(splits[0], splits[1:]), sections.leaks(report)]
        rejects = [tuple(map(escape, row)) for row in sections.rejects(report)]
        parts.append(table(("File", "Lines", "Rejected", "Why"), rejects))
    if report.facts:
        parts += ["## Facts", text_table(("Fact", "Value"), report.facts.items())]
    if report.settings:
        parts += [
            "## Settings",
            text_table(("Setting", "Value"), sections.dotted(report.settings)),
        ]
    return "\n\n".join(parts) + "\n"


def _calibration_table(metrics: dict[str, Any]) -> str:
    return table(
        ("Probability", "Reviews", "Mean probability", "Labelled positive"),
        [
            (
                f"{each['from']:g}–{each['to']:g}",
                f"{each['rows']:,}",
                percent(each["confidence"], 1),
                percent(each["positive_share"], 1),
            )
            for each in metrics["calibration"]["bins"]
        ],
    )


def _training_table(history: list[dict[str, Any]]) -> str:
    """List the rows with a validation, and the last row in any case."""
    kept = [row for row in history[:-1] if row.get("validation_loss") is not None]
    return table(
        ("Step", "Epoch", "Training loss", "Validation loss", "Validation accuracy"),
        [
            (
                f"{row['step']:,}",
                f"{row['epoch']:.2f}",
                number(row.get("train_loss")),
                number(row.get("validation_loss")),
                percent(row.get("validation_accuracy"), 2),
            )
            for row in [*kept, history[-1]]
        ],
    )


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]], *, align: str = "---:") -> str:
    """Return a Markdown table of cells that are safe already; all but the first are aligned."""
    rule = ("---", *[align] * (len(head) - 1))
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def text_table(head: tuple[str, str], rows: Iterable[tuple[str, str]]) -> str:
    """Return a Markdown table of any texts."""
    return table(head, [tuple(map(escape, row)) for row in rows], align="---")


def escape(text: str) -> str:
    """Return text that Markdown and HTML show as it is, on one line."""
    return _MEANINGFUL.sub(lambda m: _ENTITIES.get(m[0], f"\\{m[0]}"), " ".join(text.split()))
