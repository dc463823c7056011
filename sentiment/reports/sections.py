"""The texts and tables of a report, shared by the HTML page and the Markdown.

Every number comes from the :class:`Report`, which is saved beside the page as ``metrics.json``.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from sentiment.data.quality import repeated_warnings, unknown_warnings
from sentiment.evaluation.ablation import TOGETHER
from sentiment.evaluation.label_errors import MOST_SUSPECTS
from sentiment.evaluation.metrics import length_label, overlooked, unknown_label
from sentiment.evaluation.promotion import label_of
from sentiment.explain.strongest_ngrams import LEAST_REVIEWS
from sentiment.reports.mistakes import Mistake, excerpt
from sentiment.reports.numbers import (
    NO_VALUE,
    decimals_of,
    interval,
    number,
    p_value,
    percent,
)
from sentiment.settings import flatten

GENERATED_NOTE = "Generated reviews: these results say nothing about real ones."

MEASURE_NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "f1": "F1",
    "mcc": "MCC",
}
BRANCH_NAMES = {"lstm": "LSTM", "ngrams": "n-grams", TOGETHER: "both"}


@dataclass(frozen=True)
class Report:
    """Everything that a report shows; can be written as JSON.

    ``metrics`` is the output of stage ``evaluate``; ``history``, which may be empty, holds the rows
    for :func:`sentiment.reports.charts.training_chart`; ``mistakes`` starts with the most confident
    one; ``settings`` may be nested; ``details`` describes the model; ``data_note`` is a warning to
    read first; ``promotion`` is the verdict on the model, ``champion`` the result of
    :func:`sentiment.reports.report.against_champion`. ``baseline`` holds the metrics of a linear
    model and, under ``model``, the comparison with it; ``comparison`` is that of
    :func:`sentiment.evaluation.promotion.compare_all`; ``data`` holds the statistics of
    :func:`tasks.data_quality.data_quality` and, under ``duplicates``, those of
    :func:`sentiment.data.duplicates.count_duplicates`. ``scores`` is the result of
    :func:`sentiment.evaluation.decisions.decide_by_scores`.
    """

    title: str
    data_note: str | None
    metrics: dict[str, Any]
    history: list[dict[str, Any]]
    mistakes: list[Mistake]
    settings: dict[str, Any]
    details: dict[str, str]
    promotion: str | None = None
    champion: dict[str, Any] | None = None
    baseline: dict[str, Any] | None = None
    comparison: list[dict[str, Any]] | None = None
    data: dict[str, Any] | None = None
    outcome: str | None = None
    gates: dict[str, str] = field(default_factory=dict)
    scores: dict[str, Any] | None = None

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, ensure_ascii=True) + "\n"


def headline(metrics: dict[str, Any]) -> dict[str, str]:
    decimals = decimals_of(metrics["rows"])
    return {
        "accuracy": percent(metrics["accuracy"], decimals),
        "interval": f"95 % interval {interval(metrics['accuracy_interval'], decimals)}",
        "rows": f"{metrics['rows']:,}",
        "majority": "positive" if metrics["positive_share"] >= 0.5 else "negative",
        "majority_accuracy": percent(metrics["majority_accuracy"], decimals),
    }


def comparison(report: Report) -> list[tuple[str, ...]]:
    """Return a table of the model and of all that it has to beat; its first row is the head."""
    decimals = decimals_of(report.metrics["rows"])
    rows: list[tuple[str, ...]] = [("", "Accuracy", "95 % interval", "MCC")]
    for row in report.comparison or ():
        ends = row["accuracy_interval"]
        rows.append(
            (
                label_of(row).capitalize(),
                percent(row["accuracy"], decimals),
                interval(ends, decimals) if ends else NO_VALUE,
                f"{row['mcc']:.3f}",
            )
        )
    return rows if len(rows) > 1 else []


def warning(metrics: dict[str, Any]) -> str | None:
    """Return what the accuracy hides, as a sentence."""
    found = overlooked(metrics["confusion"])
    return f"{found[0].upper()}{found[1:]}." if found else None


def champion(report: Report) -> str | None:
    """Compare the model with the champion on the same reviews, in one sentence."""
    if report.champion is None:
        return None
    decimals = decimals_of(report.metrics["rows"])
    return (
        f"The champion so far, {report.champion['model']}, reaches "
        f"{percent(report.champion['accuracy'], decimals)} on the same reviews (95 % interval "
        f"{interval(report.champion['accuracy_interval'], decimals)}); this model is "
        f"{_better(report.champion['difference'], decimals)}."
    )


def baseline(report: Report) -> str | None:
    """Compare the model with the linear baseline, in one sentence."""
    if report.baseline is None:
        return None
    decimals = decimals_of(report.metrics["rows"])
    linear, model = report.baseline, report.baseline["model"]
    return (
        f"A linear model over words and bigrams, trained on the same reviews, reaches "
        f"{percent(linear['accuracy'], decimals)} (95 % interval "
        f"{interval(linear['accuracy_interval'], decimals)}, loss {number(linear['loss'])}); "
        f"this model is {_better(model['difference'], decimals)} (McNemar’s exact test: p "
        f"{p_value(model['p'])})."
    )


def advice(report: Report) -> str | None:
    """Return a sentence that recommends a linear model, if one would do."""
    model: dict[str, Any] = (report.baseline or {}).get("model", {})
    return model.get("advice")


def splits(report: Report) -> list[tuple[str, ...]]:
    """Return a table with one column per split of the data; its first row is the head."""
    if report.data is None:
        return []
    columns = [("", "Reviews", "Positive", "Duplicates", "In training too", "In validation too",
                "Median tokens", "95th percentile", "Longest", "Unknown tokens")]  # fmt: skip
    for split in report.data["splits"]:
        own, lengths = report.data["duplicates"][split["name"]], split["lengths"]
        also_in = [own["also_in"].get(other) for other in ("train", "validation")]
        columns.append(
            (
                split["name"],
                f"{split['rows']:,}",
                percent(split["positive_share"], 1),
                f"{own['repeated']:,}",
                *(NO_VALUE if count is None else f"{count:,}" for count in also_in),
                f"{lengths['50%']:,}",
                f"{lengths['95%']:,}",
                f"{lengths['max']:,}",
                percent(split["unknown_share"], 2),
            )
        )
    return list(zip(*columns, strict=True))


def leaks(report: Report) -> str:
    """Say how many test reviews the model may have memorised."""
    if report.data is None:
        return ""
    test = report.data["duplicates"]["test"]
    count = test["also_in"]["train"]
    if not count:
        return "No test review also occurs among the training reviews."
    return (
        f"{count:,} of {test['rows']:,} test reviews ({percent(count / test['rows'], 2)}) also "
        "occur among the training reviews and may have been memorised."
    )


def data_warnings(report: Report) -> list[str]:
    """Return what to look at in the data: unknown words, duplicates."""
    if report.data is None:
        return []
    return [
        *unknown_warnings(report.data["splits"]),
        *repeated_warnings(report.data["duplicates"]),
    ]


def rejects(report: Report) -> list[tuple[str, ...]]:
    """Return a row per input file: name, lines read, ignored, dropped, rejected, and reasons."""
    files = report.data["files"] if report.data else []
    return [
        (
            each["name"],
            f"{each['read']:,}",
            f"{each['ignored']:,}",
            f"{each['repeated']:,}",
            f"{sum(each['rejected'].values()):,}",
            ", ".join(f"{why}: {count:,}" for why, count in each["rejected"].items()) or NO_VALUE,
        )
        for each in files
    ]


def measures(metrics: dict[str, Any]) -> list[tuple[str, str]]:
    decimals = decimals_of(metrics["rows"])
    return [
        ("Loss (nats)", number(metrics["loss"])),
        ("ROC AUC", number(metrics["roc_auc"])),
        ("Average precision", number(metrics["average_precision"])),
        ("Precision", percent(metrics["precision"], decimals)),
        ("Recall", percent(metrics["recall"], decimals)),
        ("F1", percent(metrics["f1"], decimals)),
        ("MCC", f"{metrics['mcc']:.3f}"),
        ("Calibration error", number(metrics["calibration"]["ece"])),
        ("Threshold", f"{metrics['threshold']:g}"),
    ]


def branches(metrics: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return a table with one column per branch of the model; its first row is the head.

    It is empty for a model with one branch.
    """
    decimals = decimals_of(metrics["rows"])
    if len(metrics["branches"]) == 1:
        return []
    columns = [("", "Accuracy", "95 % interval", "Loss", "Factor", "Gain of both, points", "p")]
    for branch in metrics["branches"]:
        gain = branch["together"]
        columns.append(
            (
                BRANCH_NAMES[branch["name"]],
                percent(branch["accuracy"], decimals),
                interval(branch["accuracy_interval"], decimals),
                number(branch["loss"]),
                NO_VALUE if branch["factor"] is None else f"{branch['factor']:.2f}",
                NO_VALUE if gain is None else f"{gain['difference'] * 100:+.{decimals}f}",
                NO_VALUE if gain is None else p_value(gain["p"]).removeprefix("= "),
            )
        )
    return list(zip(*columns, strict=True))


def fast_text(metrics: dict[str, Any]) -> str | None:
    """Return what fast scoring would change, if the model can score fast."""
    fast = metrics.get("early_exit")
    if fast is None:
        return None
    decimals = decimals_of(metrics["rows"])
    return (
        "With `sentiment score --fast` a part of the model is enough for "
        f"{percent(fast['share'], decimals)} of these reviews. That changes {fast['changed']:,} of "
        f"{metrics['rows']:,} labels, and the accuracy is {percent(fast['accuracy'], decimals)}."
    )


def calibration_text(metrics: dict[str, Any]) -> str:
    """Describe the calibration error, and the effect of scaling the logits."""
    factors = [f"{b['factor']:.2f}" for b in metrics["branches"] if b["factor"] is not None]
    scaled = "logit is" if len(factors) == 1 else "branches’ logits are"
    return (
        f"The expected calibration error, {number(metrics['calibration']['ece'])}, is the mean "
        "distance between predicted probability and share of positive labels, weighted by the "
        f"number of reviews. The {scaled} scaled by {' and '.join(factors)}, as fitted on the "
        f"validation reviews; without scaling the error would be {number(metrics['ece_unscaled'])}."
    )


def suspects_text(report: Report) -> str:
    """Say how many labels may be wrong, and where they are listed."""
    count = report.metrics["suspected_labels"]
    if not count:
        return "The model suspects no label to be wrong."
    return (
        f"The labels of {count:,} test reviews may be wrong, if the model can be trusted: "
        "suspected-labels.csv beside this page lists them, the most suspicious first"
        f"{f', up to {MOST_SUSPECTS:,}' if count > MOST_SUSPECTS else ''}."
    )


def strongest(metrics: dict[str, Any]) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """Return the n-grams that push most in each direction: text, weight, number of reviews.

    They are untrusted texts. The list is empty for a model without n-grams.
    """
    return [
        (
            name.capitalize(),
            [
                (excerpt(row["text"]), f"{row['weight']:+.1f}", f"{row['reviews']:,}")
                for row in rows
            ],
        )
        for name, rows in (metrics["ngrams"] or {}).items()
    ]


def strongest_text(metrics: dict[str, Any]) -> str:
    """Say what the weights of the n-grams are, or why there are none."""
    if metrics["ngrams"] is None:
        return (
            "This model has no n-gram branch (train.model.ngrams), so no word has a weight of its "
            "own. The mistakes show the effect of each word in its text."
        )
    return (
        "Weight in the n-gram branch, before it is divided by the review’s norm; of words and "
        f"n-grams in at least {LEAST_REVIEWS} test reviews."
    )


def threshold_text(report: Report) -> str:
    """Say which threshold is in use, and which has the highest measure on the test reviews."""
    if report.scores is None:
        return ""
    name = MEASURE_NAMES[report.scores["measure"]]
    return (
        f"The threshold in use is {report.metrics['threshold']:.3g}. On these test reviews {name} "
        f"is highest at {report.scores['suggested']:.3g}; to have a threshold chosen by it on the "
        f"validation reviews, set train.threshold={report.scores['measure']}."
    )


def people_text(report: Report) -> str:
    """Say which scores to hand to people, and what that gains."""
    if report.scores is None:
        return ""
    decimals = decimals_of(report.metrics["rows"])
    rows, halved = report.scores["answered"]["rows"], report.scores["answered"]["halved"]
    if halved is None:
        return "Handing the doubtful reviews to people would not halve the share of wrong answers."
    return (
        f"If people read the {percent(1 - halved['answered'], 0)} of the reviews with scores from "
        f"{halved['low']:.2f} to {halved['high']:.2f}, the model is right in "
        f"{percent(halved['accuracy'], decimals)} of the others, instead of "
        f"{percent(rows[0]['accuracy'], decimals)} of all: at most half as many are wrong."
    )


def accuracies_by_length(metrics: dict[str, Any]) -> list[tuple[str, ...]]:
    return _accuracies(metrics["by_length"], length_label)


def accuracies_by_unknown(metrics: dict[str, Any]) -> list[tuple[str, ...]]:
    return _accuracies(metrics["by_unknown"], unknown_label)


def _accuracies(
    bins: list[dict[str, Any]], label: Callable[[dict[str, Any]], str]
) -> list[tuple[str, ...]]:
    return [
        (
            label(each),
            f"{each['rows']:,}",
            percent(each["accuracy"], 1),
            interval(each["interval"], 1),
        )
        for each in bins
    ]


def dotted(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield nested settings as flat pairs: ``("train.epochs", "2")``."""
    for name, value in flatten(settings).items():
        yield name, value if isinstance(value, str) else json.dumps(value, default=str)


def _better(difference: float, decimals: int) -> str:
    better = "worse" if difference < 0 else "better"
    return f"{abs(difference) * 100:.{decimals}f} points {better}"
