"""The report as Markdown, as Prefect shows it.

Review texts are untrusted: every character with a meaning in Markdown or HTML is escaped.
"""

import re
from collections.abc import Iterable

from sentiment.reports import sections
from sentiment.reports.mistakes import mistakes_by_kind
from sentiment.reports.sections import Report
from sentiment.reports.tables import Table, all_tables
from sentiment.reports.verdict import badge

# What Markdown or HTML may interpret, in any position; "1." and "1)" begin a list, "www." and "://"
# make a link.
_MEANINGFUL = re.compile(
    r"[\\`*_\[\]#+\-!|~$@^<>&]|(?<=\d)[.)](?=\s|$)|(?<=www)\.|(?<=:)/", re.IGNORECASE
)
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def render_markdown(report: Report) -> str:
    """Return the report as Markdown, with tables instead of charts."""
    metrics = report.metrics
    headline = sections.headline(metrics)
    tables = all_tables(metrics, report.history)
    judged = badge(report)
    parts = [f"# {escape(report.title)}"]
    if report.data_note:
        parts.append(f"> **Note:** {escape(report.data_note)}")
    parts += [
        f"**Verdict: {judged.label}.** {escape(judged.reason)}",
        f"**Accuracy {headline['accuracy']}** ({headline['interval']}) on {headline['rows']} test "
        f"reviews. Always answering “{headline['majority']}” would reach "
        f"{headline['majority_accuracy']}.",
        *([champion] if (champion := sections.champion(report)) else []),
        *([linear] if (linear := sections.baseline(report)) else []),
        *([advice] if (advice := sections.advice(report)) else []),
        *([f"> **Warning:** {hidden}"] if (hidden := sections.warning(metrics)) else []),
        *([table(rows[0], rows[1:])] if (rows := sections.comparison(report)) else []),
        table(("Measure", "Value"), sections.measures(metrics)),
    ]
    if rows := sections.branches(metrics):
        parts += ["## What each branch contributes", table(rows[0], rows[1:])]
        parts += [fast] if (fast := sections.fast_text(metrics)) else []
    if report.history:
        parts += ["## Training", _whole(tables["training"])]
    parts += [
        "## Confusion matrix",
        _whole(tables["confusion"]),
        "## Accuracy by review length",
        _whole(tables["by_length"]),
        "## Accuracy by unknown words",
        _whole(tables["by_unknown"]),
        "## Words and n-grams that push most",
        sections.strongest_text(metrics),
        *(
            table((head, "Weight", "Reviews"), [(escape(text), *rest) for text, *rest in rows])
            for head, rows in sections.strongest(metrics)
        ),
        "## Calibration",
        _whole(tables["calibration"]),
        sections.calibration_text(metrics),
    ]
    if report.mistakes:
        parts.append("## Most confident mistakes")
        for kind, those in mistakes_by_kind(report.mistakes, metrics):
            parts.append(f"### {kind}")
            for each in those:
                parts += [
                    f"**Labelled {each['label']}, predicted {each['predicted']}** · probability of "
                    f"positive {each['probability']} · row {each['row']}",
                    f"> {escape(each['text'])}",
                    f"Towards positive: {escape(each['to_positive'])}; towards negative: "
                    f"{escape(each['to_negative'])}.",
                ]
    if splits := sections.splits(report):
        parts += ["## Data", table(splits[0], splits[1:]), sections.leaks(report)]
        parts += [f"**Warning:** {warning}" for warning in sections.data_warnings(report)]
        rejects = [tuple(map(escape, row)) for row in sections.rejects(report)]
        parts.append(
            table(
                (
                    "File",
                    "Lines",
                    "Ignored by their label",
                    "Duplicates dropped",
                    "Rejected",
                    "Reasons",
                ),
                rejects,
            )
        )
    if report.details:
        parts += ["## Details", text_table(("Detail", "Value"), report.details.items())]
    if report.settings:
        parts += [
            "## Settings",
            text_table(("Setting", "Value"), sections.dotted(report.settings)),
        ]
    return "\n\n".join(parts) + "\n"


def _whole(rows: Table) -> str:
    return table(rows[0], rows[1:])


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]], *, align: str = "---:") -> str:
    """Return a Markdown table of escaped cells; ``align`` applies to all but the first column."""
    rule = ("---", *[align] * (len(head) - 1))
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def text_table(head: tuple[str, str], rows: Iterable[tuple[str, str]]) -> str:
    """Return a Markdown table of unescaped texts."""
    return table(head, [tuple(map(escape, row)) for row in rows], align="---")


def escape(text: str) -> str:
    """Escape a text so that Markdown and HTML show it literally, on one line."""
    return _MEANINGFUL.sub(lambda m: _ENTITIES.get(m[0], f"\\{m[0]}"), " ".join(text.split()))
