"""Stage ``report``: a self-contained HTML page, the same as Markdown, and its figures as JSON.

Texts of reviews come from strangers. The template escapes them, and the page forbids itself to load
or run anything.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from markupsafe import Markup

from sentiment.evaluation.comparison import compare
from sentiment.evaluation.config import EvaluateConfig
from sentiment.evaluation.metrics import wilson_interval
from sentiment.model.inference import probabilities
from sentiment.progress import Progress, silent
from sentiment.reports import charts, sections
from sentiment.reports.markdown import render_markdown
from sentiment.reports.model_card import render_card
from sentiment.reports.sections import GENERATED_NOTE, Mistake, Report
from sentiment.reports.templating import render


def write_report(
    metrics: Path,
    mistakes: Path,
    history: Path,
    recipe: Path,
    promotion: Path,
    predictions: Path,
    baseline: Path,
    linear_predictions: Path,
    duplicates: Path,
    *,
    evaluate: EvaluateConfig,
    title: str,
    generated: bool,
    facts: Mapping[str, str],
    quality: Mapping[str, Any],
    out: Path,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write ``report.html``, ``report.md``, and as ``metrics.json`` all that they tell.

    ``recipe`` is the bundle's ``config.json``, ``promotion`` what the stage ``promote`` wrote;
    the predictions are those of the model and of the baseline, for the same reviews; ``quality``
    holds the figures of the data; ``generated`` says that the reviews were made up.
    Returns no figures.
    """
    settings = json.loads(recipe.read_bytes())
    del settings["format"]
    decided = json.loads(promotion.read_bytes())
    report = Report(
        title=title,
        data_note=GENERATED_NOTE if generated else None,
        metrics=json.loads(metrics.read_bytes()),
        history=pq.read_table(history).to_pylist(),
        mistakes=[Mistake(**row) for row in pq.read_table(mistakes).to_pylist()],
        settings={**settings, "evaluate": evaluate.output_settings()},
        facts=dict(facts),
        promotion=decided["reason"],
        champion=against_champion(decided),
        baseline={
            **json.loads(baseline.read_bytes()),
            **against_baseline(predictions, linear_predictions, evaluate.threshold),
        },
        data={**quality, "duplicates": json.loads(duplicates.read_bytes())},
    )
    (out / "metrics.json").write_text(report.to_json(), encoding="utf-8")
    (out / "report.html").write_text(render_html(report), encoding="utf-8")
    (out / "report.md").write_text(render_markdown(report), encoding="utf-8")
    (out / "README.md").write_text(render_card(report), encoding="utf-8")
    return {}


def against_baseline(predictions: Path, linear: Path, threshold: float) -> dict[str, Any]:
    """Compare the model with the baseline, from their predictions for the same reviews.

    Returns the baseline's accuracy at this threshold, and the comparison under ``model``.
    """
    model = pq.read_table(predictions)
    positive = model["label"].to_numpy() == 1
    right = (model["probability"].to_numpy() >= threshold) == positive
    chances = probabilities(pq.read_table(linear)["logit"].to_numpy())
    other = (chances >= threshold) == positive
    return {**_share(int(other.sum()), len(other)), "model": compare(right, other)}


def against_champion(promotion: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what the champion that the model met reaches on the same reviews, None if unknown.

    ``promotion`` is the content of ``promotion.json``.
    """
    champion = promotion["champion"]
    if champion is None or champion["accuracy"] is None:
        return None
    return {
        "model": champion["model"],
        **_share(round(champion["accuracy"] * promotion["rows"]), promotion["rows"]),
        "difference": promotion["accuracy"] - champion["accuracy"],
    }


def _share(correct: int, rows: int) -> dict[str, Any]:
    return {
        "accuracy": correct / rows,
        "accuracy_interval": list(wilson_interval(correct, rows)),
    }


def render_html(report: Report) -> str:
    """Return the report as one HTML page that needs no other file, script or connection."""
    metrics = report.metrics
    drawn = {
        "roc": charts.roc_curve(metrics),
        "precision_recall": charts.precision_recall(metrics),
        "confusion": charts.confusion(metrics),
        "by_length": charts.accuracy_by_length(metrics),
        "by_unknown": charts.accuracy_by_unknown(metrics),
        "calibration": charts.calibration(metrics),
    }
    if report.history:
        drawn["training"] = charts.training_curve(report.history)
    return render(
        "templates/report.html.j2",
        report=report,
        metrics=metrics,
        # Only these are let through unescaped: they hold numbers and our own words.
        figures={name: Markup(svg) for name, svg in drawn.items()},
        headline=sections.headline(metrics),
        measures=sections.measures(metrics),
        champion=sections.champion(report),
        baseline=sections.baseline(report),
        parts=sections.parts(metrics),
        calibration_words=sections.calibration_words(metrics),
        mistakes=list(sections.mistakes(report)),
        settings=list(sections.dotted(report.settings)),
        splits=sections.splits(report),
        leaks=sections.leaks(report),
        rejects=sections.rejects(report),
        by_length=sections.by_length(metrics),
        by_unknown=sections.by_unknown(metrics),
    )
