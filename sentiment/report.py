"""Stage ``report``: a self-contained HTML page, and the same figures as Markdown.

Texts of reviews come from strangers. In HTML the template escapes them, and the page forbids
itself to load or run anything; in Markdown every character that could mean something is escaped.
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from sentiment import figures
from sentiment.metrics import length_label
from sentiment.progress import Progress, silent
from sentiment.recipe import EvaluateConfig

TEMPLATE = Path(__file__).parent / "templates" / "report.html.j2"
GENERATED_NOTE = "Generated reviews: these figures say nothing about real ones."
LONGEST_TEXT = 600  # characters of a review that are shown
NO_VALUE = "—"

# From this many reviews on, the second decimal of a percentage is more than noise.
MANY_ROWS = 10_000

# What Markdown or HTML may take for its own, wherever it stands; "1." and "1)" begin a list, "www."
# and "://" make a link.
_MEANINGFUL = re.compile(
    r"[\\`*_\[\]#+\-!|~$@^<>&]|(?<=\d)[.)](?=\s|$)|(?<=www)\.|(?<=:)/", re.IGNORECASE
)
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
# Marks that would make the text after them run the other way, outside the quote as well.
_TURNING = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True)
class Mistake:
    """A test review that the model got wrong: ``probability`` is that of a positive review."""

    row: int
    text: str
    label: int
    probability: float


@dataclass(frozen=True)
class Report:
    """All that a report tells.

    ``metrics`` comes from :func:`sentiment.metrics.measure`; ``history`` (which may be empty) holds
    the rows that :func:`sentiment.figures.training_curve` draws; ``mistakes`` start with the most
    confident one; ``settings`` may be nested; ``data_note`` is a warning to read first;
    ``promotion`` says what became of the model.
    """

    title: str
    data_note: str | None
    metrics: dict[str, Any]
    history: list[dict[str, Any]]
    mistakes: list[Mistake]
    settings: dict[str, Any]
    facts: dict[str, str]
    promotion: str | None = None


def write_report(
    metrics: Path,
    mistakes: Path,
    history: Path,
    recipe: Path,
    promotion: Path,
    *,
    evaluate: EvaluateConfig,
    title: str,
    generated: bool,
    facts: Mapping[str, str],
    out: Path,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write ``report.html`` and ``report.md`` from what training and the evaluation left.

    ``recipe`` is the bundle's ``config.json``, ``promotion`` what the stage ``promote`` wrote;
    ``generated`` says that the reviews were made up.
    Returns no figures.
    """
    settings = json.loads(recipe.read_bytes())
    del settings["format"]
    report = Report(
        title=title,
        data_note=GENERATED_NOTE if generated else None,
        metrics=json.loads(metrics.read_bytes()),
        history=pq.read_table(history).to_pylist(),
        mistakes=[Mistake(**row) for row in pq.read_table(mistakes).to_pylist()],
        settings={**settings, "evaluate": evaluate.shaping()},
        facts=dict(facts),
        promotion=json.loads(promotion.read_bytes())["reason"],
    )
    (out / "report.html").write_text(render_html(report), encoding="utf-8")
    (out / "report.md").write_text(render_markdown(report), encoding="utf-8")
    return {}


def render_html(report: Report) -> str:
    """Return the report as one HTML page that needs no other file, script or connection."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    metrics = report.metrics
    drawn = {
        "roc": figures.roc_curve(metrics),
        "precision_recall": figures.precision_recall(metrics),
        "confusion": figures.confusion(metrics),
        "by_length": figures.accuracy_by_length(metrics),
        "calibration": figures.calibration(metrics),
    }
    if report.history:
        drawn["training"] = figures.training_curve(report.history)
    return template.render(
        report=report,
        metrics=metrics,
        # Only these are let through unescaped: they hold numbers and our own words.
        figures={name: Markup(svg) for name, svg in drawn.items()},
        headline=_headline(metrics),
        measures=_measures(metrics),
        mistakes=list(_mistakes(report)),
        settings=list(_dotted(report.settings)),
        by_length=_by_length(metrics),
    )


def render_markdown(report: Report) -> str:
    """Return the report as Markdown with tables instead of figures, such as Prefect shows."""
    metrics = report.metrics
    headline = _headline(metrics)
    counts = {name: f"{count:,}" for name, count in metrics["confusion"].items()}
    parts = [f"# {_escape(report.title)}"]
    if report.data_note:
        parts.append(f"> **Note:** {_escape(report.data_note)}")
    parts += [
        f"**Accuracy {headline['accuracy']}** ({headline['interval']}) on {headline['rows']} test "
        f"reviews. Always answering “{headline['majority']}” would reach "
        f"{headline['majority_accuracy']}.",
        *([f"Promotion: {_escape(report.promotion)}."] if report.promotion else []),
        _table(("Measure", "Value"), _measures(metrics)),
    ]
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
        _table(("Tokens", "Reviews", "Accuracy", "95 % interval"), _by_length(metrics)),
        "## Calibration",
        _calibration_table(metrics),
    ]
    if report.mistakes:
        parts.append("## Most confident mistakes")
        for each in _mistakes(report):
            parts += [
                f"**Labelled {each['label']}, predicted {each['predicted']}** · probability of "
                f"positive {each['probability']} · row {each['row']}",
                f"> {_escape(each['text'])}",
            ]
    if report.facts:
        parts += ["## Facts", _text_table(("Fact", "Value"), report.facts.items())]
    if report.settings:
        parts += ["## Settings", _text_table(("Setting", "Value"), _dotted(report.settings))]
    return "\n\n".join(parts) + "\n"


def _headline(metrics: dict[str, Any]) -> dict[str, str]:
    decimals = _decimals(metrics["rows"])
    low, high = metrics["accuracy_interval"]
    return {
        "accuracy": _percent(metrics["accuracy"], decimals),
        "interval": f"95 % interval {low * 100:.{decimals}f}–{_percent(high, decimals)}",
        "rows": f"{metrics['rows']:,}",
        "majority": "positive" if metrics["positive_share"] >= 0.5 else "negative",
        "majority_accuracy": _percent(metrics["majority_accuracy"], decimals),
    }


def _measures(metrics: dict[str, Any]) -> list[tuple[str, str]]:
    decimals = _decimals(metrics["rows"])
    return [
        ("Loss (nats)", _number(metrics["loss"])),
        ("ROC AUC", _number(metrics["roc_auc"])),
        ("Average precision", _number(metrics["average_precision"])),
        ("Precision", _percent(metrics["precision"], decimals)),
        ("Recall", _percent(metrics["recall"], decimals)),
        ("F1", _percent(metrics["f1"], decimals)),
        ("Calibration error", _number(metrics["calibration"]["ece"])),
        ("Threshold", f"{metrics['threshold']:g}"),
    ]


def _by_length(metrics: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            length_label(each),
            f"{each['rows']:,}",
            _percent(each["accuracy"], 1),
            f"{each['interval'][0] * 100:.1f}–{_percent(each['interval'][1], 1)}",
        )
        for each in metrics["by_length"]
    ]


def _calibration_table(metrics: dict[str, Any]) -> str:
    return _table(
        ("Probability", "Reviews", "Mean probability", "Labelled positive"),
        [
            (
                f"{each['from']:g}–{each['to']:g}",
                f"{each['rows']:,}",
                _percent(each["confidence"], 1),
                _percent(each["positive_share"], 1),
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
                _number(row.get("train_loss")),
                _number(row.get("validation_loss")),
                _percent(row.get("validation_accuracy"), 2),
            )
            for row in [*kept, history[-1]]
        ],
    )


def _mistakes(report: Report) -> Iterator[dict[str, str]]:
    names = ("negative", "positive")
    for mistake in report.mistakes:
        predicted = mistake.probability >= report.metrics["threshold"]
        yield {
            "row": f"{mistake.row:,}",
            "text": _excerpt(mistake.text),
            "label": names[mistake.label],
            "predicted": names[predicted],
            "probability": _confident(mistake.probability),
        }


def _excerpt(text: str) -> str:
    """Return a text on one line, cut at a word where it is long, without control characters.

    Half surrogates, which no file can hold, and marks that turn the writing direction go too.
    """
    text = "".join(
        mark
        for mark in " ".join(text.split())
        if unicodedata.category(mark) not in {"Cc", "Cs"} and mark not in _TURNING
    )
    if len(text) <= LONGEST_TEXT:
        return text
    head = text[:LONGEST_TEXT]
    return (head.rsplit(" ", 1)[0] if " " in head[-40:] else head) + " …"


def _dotted(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield nested settings as flat pairs: ``("train.epochs", "2")``."""
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _dotted(value, f"{prefix}{key}.")
        else:
            shown = value if isinstance(value, str) else json.dumps(value, default=str)
            yield f"{prefix}{key}", shown


def _decimals(rows: int) -> int:
    return 2 if rows >= MANY_ROWS else 1


def _percent(share: float | None, decimals: int) -> str:
    return NO_VALUE if share is None else f"{share * 100:.{decimals}f}\N{NO-BREAK SPACE}%"


def _number(value: float | None) -> str:
    return NO_VALUE if value is None else f"{value:.4f}"


def _confident(probability: float) -> str:
    """Return a probability, without rounding 99.97 % to certainty."""
    if probability > 0.999:
        return "over 99.9\N{NO-BREAK SPACE}%"
    if probability < 0.001:
        return "under 0.1\N{NO-BREAK SPACE}%"
    return _percent(probability, 1)


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
