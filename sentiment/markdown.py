"""The report as Markdown, such as Prefect shows.

Texts of reviews come from strangers: every character that could mean something is escaped.
"""

import re
from collections.abc import Iterable
from typing import Any

from sentiment import sections
from sentiment.sections import Report, number, percent

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
    parts = [f"# {_escape(report.title)}"]
    if report.data_note:
        parts.append(f"> **Note:** {_escape(report.data_note)}")
    parts += [
        f"**Accuracy {headline['accuracy']}** ({headline['interval']}) on {headline['rows']} test "
        f"reviews. Always answering “{headline['majority']}” would reach "
        f"{headline['majority_accuracy']}.",
        *([linear] if (linear := sections.baseline(report)) else []),
        *([f"Promotion: {_escape(report.promotion)}."] if report.promotion else []),
        _table(("Measure", "Value"), sections.measures(metrics)),
    ]
    if rows := sections.parts(metrics):
        parts += ["## What each part contributes", _table(rows[0], rows[1:])]
    if report.history:
        parts += ["## Training", _training_table(report.history)]
    parts += [
        "## Confusion matrix",
        _table(
            ("", "Predicted negative", "Predicted positive"),
            [
                ("Labelled negative", counts["true_negative"], counts["false_positive"]),
                ("Labelled positive", counts["false_negative"], counts["true_positive"]),
            ],
        ),
        "## Accuracy by review length",
        _table(("Tokens", "Reviews", "Accuracy", "95 % interval"), sections.by_length(metrics)),
        "## Accuracy by unknown words",
        _table(("Unknown", "Reviews", "Accuracy", "95 % interval"), sections.by_unknown(metrics)),
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
                f"> {_escape(each['text'])}",
                f"Towards positive: {_escape(each['to_positive'])}; towards negative: "
                f"{_escape(each['to_negative'])}.",
            ]
    if splits := sections.splits(report):
        parts += ["## Data", _table(splits[0], splits[1:]), sections.leaks(report)]
        rejects = [tuple(map(_escape, row)) for row in sections.rejects(report)]
        parts.append(_table(("File", "Lines", "Rejected", "Why"), rejects))
    if report.facts:
        parts += ["## Facts", _text_table(("Fact", "Value"), report.facts.items())]
    if report.settings:
        parts += [
            "## Settings",
            _text_table(("Setting", "Value"), sections.dotted(report.settings)),
        ]
    return "\n\n".join(parts) + "\n"


def render_card(report: Report) -> str:
    """Return the model card, Markdown to lie beside a bundle: what it is, how good, its limits."""
    figures = sections.headline(report.metrics)
    recipe = [pair for pair in sections.dotted(report.settings) if pair[0].startswith("train.")]
    note = f"> **Note:** {_escape(report.data_note)}\n\n" if report.data_note else ""
    return f"""# Model card: {_escape(report.title)}

{note}An LSTM that gives the probability that a review is positive.

## Test figures
**Accuracy {figures["accuracy"]}** ({figures["interval"]}) on {figures["rows"]} test reviews that
it was not trained on.

{_table(("Measure", "Value"), sections.measures(report.metrics))}

## Data
{_text_table(("Fact", "Value"), report.facts.items())}

## Recipe
{_text_table(("Setting", "Value"), recipe)}

## Limits
- It knows two answers, positive and negative, and reads the language of its training reviews.
- Of a text longer than `tensors.max_length` tokens it reads the beginning only.
- The figures hold for reviews like the test reviews; for others, measure anew.

## Use
`sentiment predict TEXT --model FOLDER`, or in Python `sentiment.Classifier.load(FOLDER)`.
"""


def _calibration_table(metrics: dict[str, Any]) -> str:
    return _table(
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
    return _table(
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


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]], *, align: str = "---:") -> str:
    """Return a Markdown table of cells that are safe already; all but the first are aligned."""
    rule = ("---", *[align] * (len(head) - 1))
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def _text_table(head: tuple[str, str], rows: Iterable[tuple[str, str]]) -> str:
    """Return a Markdown table of any texts."""
    return _table(head, [tuple(map(_escape, row)) for row in rows], align="---")


def _escape(text: str) -> str:
    """Return text that Markdown and HTML show as it is, on one line."""
    return _MEANINGFUL.sub(lambda m: _ENTITIES.get(m[0], f"\\{m[0]}"), " ".join(text.split()))
