"""Stage ``report``: a self-contained HTML page, the same as Markdown, and all its data as JSON.

Review texts are untrusted. The template escapes them, and the page's policy forbids loading or
running anything.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from markupsafe import Markup

from sentiment.evaluation.config import EvaluateConfig
from sentiment.evaluation.decisions import decide_by_scores
from sentiment.evaluation.label_errors import SUSPECTS, write_suspects
from sentiment.evaluation.metrics import wilson_interval
from sentiment.model.inference import probabilities
from sentiment.progress import Progress, silent
from sentiment.reports import charts, decision_charts, sections, verdict
from sentiment.reports.markdown import render_markdown
from sentiment.reports.mistakes import Mistake, mistakes_by_kind
from sentiment.reports.model_card import render_card
from sentiment.reports.pages import render_page
from sentiment.reports.sections import GENERATED_NOTE, Report
from sentiment.reports.tables import all_tables, curve_tables, score_tables

TEMPLATE = Path(__file__).parent / "templates" / "report.html.j2"
LINEAR, CHAMPION = "linear baseline", "champion so far"


def write_report(
    metrics: Path,
    predictions: Path,
    mistakes: Path,
    suspects: Path,
    history: Path,
    config: Path,
    promotion: Path,
    baseline: Path,
    baseline_predictions: Path,
    champion_predictions: Sequence[Path],
    duplicates: Path,
    *,
    evaluate: EvaluateConfig,
    title: str,
    generated: bool,
    details: Mapping[str, str],
    quality: Mapping[str, Any],
    out: Path,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write ``report.html``, ``report.md``, the model card ``README.md`` and ``metrics.json``.

    Beside them it lists the test reviews whose labels are suspected, in ``suspected-labels.csv``.
    All predictions are of the same reviews, in order; of the champion there may be none.

    ``metrics.json`` holds everything that the report shows. ``config`` is the bundle's
    ``config.json``, ``promotion`` the output of stage ``promote``. ``quality`` holds the
    statistics of the data; ``generated`` says whether the reviews are generated. Returns an empty
    object.
    """
    settings = json.loads(config.read_bytes())
    del settings["format"]
    decided = json.loads(promotion.read_bytes())
    measured, answers = json.loads(metrics.read_bytes()), pq.read_table(predictions)
    others = {LINEAR: probabilities(pq.read_table(baseline_predictions)["logit"].to_numpy())}
    for path in champion_predictions:  # at most one
        others[CHAMPION] = pq.read_table(path)["probability"].to_numpy()
    scores = decide_by_scores(
        answers["label"].to_numpy(),
        answers["probability"].to_numpy(),
        others,
        threshold=measured["threshold"],
        measure=settings["train"]["threshold"],
    )
    write_suspects(out / SUSPECTS, pq.read_table(suspects))
    report = Report(
        title=title,
        data_note=GENERATED_NOTE if generated else None,
        metrics=measured,
        history=pq.read_table(history).to_pylist(),
        mistakes=[Mistake(**row) for row in pq.read_table(mistakes).to_pylist()],
        settings={**settings, "evaluate": evaluate.output_settings()},
        details=dict(details),
        outcome=decided["outcome"],
        promotion=decided["reason"],
        gates=decided["gates"],
        scores=scores,
        champion=against_champion(decided),
        baseline={**json.loads(baseline.read_bytes()), **against_baseline(decided)},
        comparison=decided["comparison"],
        data={**quality, "duplicates": json.loads(duplicates.read_bytes())},
    )
    (out / "metrics.json").write_text(report.to_json(), encoding="utf-8")
    (out / "report.html").write_text(render_html(report), encoding="utf-8")
    (out / "report.md").write_text(render_markdown(report), encoding="utf-8")
    (out / "README.md").write_text(render_card(report), encoding="utf-8")
    return {}


def against_baseline(promotion: Mapping[str, Any]) -> dict[str, Any]:
    """Return the baseline's accuracy, and under ``model`` how the model compares with it.

    ``promotion`` is the content of ``promotion.json``.
    """
    (row,) = (row for row in promotion["comparison"] if row["name"] == "baseline")
    own = ("accuracy", "accuracy_interval")
    compared = ("gained", "lost", "difference", "p", "advice")
    return {**{name: row[name] for name in own}, "model": {name: row[name] for name in compared}}


def against_champion(promotion: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the accuracy of the champion on the same reviews, None if unknown.

    ``promotion`` is the content of ``promotion.json``.
    """
    champion = promotion["champion"]
    if champion is None or champion["accuracy"] is None:
        return None
    return {
        "model": champion["model"],
        **_accuracy(round(champion["accuracy"] * promotion["rows"]), promotion["rows"]),
        "difference": promotion["accuracy"] - champion["accuracy"],
    }


def _accuracy(correct: int, rows: int) -> dict[str, Any]:
    return {
        "accuracy": correct / rows,
        "accuracy_interval": list(wilson_interval(correct, rows)),
    }


def render_html(report: Report) -> str:
    """Return the report as one HTML page that needs no other file, script or connection."""
    metrics = report.metrics
    scores, threshold = report.scores, metrics["threshold"]
    # Without both classes there is no curve.
    others = scores["others"] if scores and metrics["roc"] else {}
    svgs = {
        "roc": charts.roc_chart(metrics, others),
        "precision_recall": charts.precision_recall_chart(metrics, others),
        "confusion": charts.confusion_chart(metrics),
        "by_length": charts.accuracy_by_length_chart(metrics),
        "by_unknown": charts.accuracy_by_unknown_chart(metrics),
        "calibration": charts.calibration_chart(metrics),
    }
    tables = all_tables(metrics, report.history)
    if scores is not None:
        svgs["histogram"] = decision_charts.histogram_chart(scores, threshold)
        svgs["threshold"] = decision_charts.threshold_chart(scores, threshold)
        svgs["answered"] = decision_charts.answered_chart(scores)
        tables |= score_tables(scores)
    if report.history:
        svgs["training"] = charts.training_chart(report.history)
    return render_page(
        TEMPLATE.read_text(encoding="utf-8"),
        report=report,
        metrics=metrics,
        # Only these are not escaped: they hold numbers and our own words.
        charts={name: Markup(svg) for name, svg in svgs.items()},
        headline=sections.headline(metrics),
        measures=sections.measures(metrics),
        suspects_text=sections.suspects_text(report),
        badge=verdict.badge(report),
        comparison=verdict.comparison(report),
        warning=sections.warning(metrics),
        advice=sections.advice(report),
        champion=sections.champion(report),
        baseline=sections.baseline(report),
        branches=sections.branches(metrics),
        fast=sections.fast_text(metrics),
        calibration_text=sections.calibration_text(metrics),
        mistakes=mistakes_by_kind(report.mistakes, metrics),
        strongest=sections.strongest(metrics),
        strongest_text=sections.strongest_text(metrics),
        settings=list(sections.dotted(report.settings)),
        splits=sections.splits(report),
        leaks=sections.leaks(report),
        data_warnings=sections.data_warnings(report),
        rejects=sections.rejects(report),
        tables=tables,
        others=curve_tables(others),
        threshold_text=sections.threshold_text(report),
        people_text=sections.people_text(report),
    )
