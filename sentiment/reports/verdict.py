"""The verdict of a report: whether the model was promoted, why, and what it was compared with."""

import math
from typing import NamedTuple

from sentiment.evaluation.promotion import label_of
from sentiment.reports.numbers import decimals_of, interval, p_value, percent
from sentiment.reports.sections import Report

GRID = 0.05  # the axis of the comparison ends at multiples of this accuracy


class Badge(NamedTuple):
    """``kind`` is good, bad or open; ``mark`` says the same without colour."""

    kind: str
    mark: str
    label: str
    reason: str


class Compared(NamedTuple):
    """A row of the comparison, formatted; ``left``, ``width`` and ``at`` are percentages."""

    kind: str
    name: str
    accuracy: str
    interval: str | None
    mcc: str
    left: str
    width: str
    at: str


class Comparison(NamedTuple):
    """Models on one axis, which reaches from ``low`` to ``high``."""

    low: str
    high: str
    rows: list[Compared]


LABELS = {
    "promoted": ("good", "✓", "Promoted"),
    "champion": ("good", "✓", "Champion already"),
    "kept": ("open", "=", "Not promoted: kept back"),
    "refused": ("bad", "✕", "Not promoted: failed gate"),
}


def badge(report: Report) -> Badge:
    """Return the verdict on the model in a few words, and its reason as a sentence."""
    if report.promotion is None or report.outcome is None:
        reason = "The model has not been compared with others."
        return Badge("open", "…", "No comparison yet", reason)
    reason = report.promotion.partition(": ")[2] or report.promotion
    if report.outcome == "champion":
        reason = "The model is the champion already."
    if report.outcome in ("promoted", "kept"):
        reason = _beside_champion(report, reason)
    if report.outcome == "refused" and report.gates:
        reason = " ".join(_plain(report, gate, why) for gate, why in report.gates.items())
    return Badge(*LABELS[report.outcome], _sentence(reason))


def _beside_champion(report: Report, reason: str) -> str:
    """Return why a model was promoted or kept back, for readers who do not know the figures."""
    rows = {row["name"]: row for row in report.comparison or ()}
    if reason.endswith(", the first champion"):
        return "It is the first champion"
    if "champion" not in rows or not reason[:1].isdigit():  # the reason is not about figures
        return reason
    own, other = rows["model"], rows["champion"]
    decimals = decimals_of(report.metrics["rows"])
    figures = (
        f"{percent(own['accuracy'], decimals)} against {percent(other['accuracy'], decimals)} (MCC "
        f"{own['mcc']:.3f} against {other['mcc']:.3f})"
    )
    if report.outcome == "promoted":
        return f"It is better than the champion so far: {figures}"
    if own["mcc"] <= other["mcc"]:
        worse = "worse" if own["mcc"] < other["mcc"] else "no better"
        return f"It is {worse} than the champion so far: {figures}"
    return reason  # the gain is too small


def _plain(report: Report, gate: str, why: str) -> str:
    """Return why a gate failed, for readers who do not know the gates."""
    rows = {row["name"]: row for row in report.comparison or ()}
    if not {"model", "baseline", "majority"} <= rows.keys():
        return _sentence(why)
    decimals = decimals_of(report.metrics["rows"])
    own = percent(rows["model"]["accuracy"], decimals)
    if gate == "promote.match_baseline":
        linear = percent(rows["baseline"]["accuracy"], decimals)
        return (
            f"The linear baseline is better: {linear} against {own}, more than chance explains (p "
            f"{p_value(rows['baseline']['p'])})."
        )
    if gate == "promote.beat_majority":
        most = rows["majority"]
        return (
            f"It is not better than always answering “{most['label']}”: {own} against "
            f"{percent(most['accuracy'], decimals)} (p {p_value(most['p'])})."
        )
    return _sentence(why)


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:].removesuffix('.')}."


def comparison(report: Report) -> Comparison | None:
    """Place the model and all that it has to beat on one axis, which shows where they differ."""
    if not report.comparison:
        return None
    decimals = decimals_of(report.metrics["rows"])
    ends = [end for row in report.comparison for end in (row["accuracy_interval"] or ())]
    ends += [row["accuracy"] for row in report.comparison]
    low = max(0.0, math.floor(min(ends) / GRID) * GRID)
    high = min(1.0, math.ceil(max(ends) / GRID) * GRID)
    if high - low < GRID:  # all of them are at one end
        low, high = max(0.0, high - GRID), min(1.0, low + GRID)

    def at(share: float) -> float:
        return float(100 * (share - low) / (high - low))

    rows = []
    for row in report.comparison:
        begin, end = row["accuracy_interval"] or (row["accuracy"],) * 2
        rows.append(
            Compared(
                kind=row["name"],
                name=label_of(row).capitalize(),
                accuracy=percent(row["accuracy"], decimals),
                interval=interval([begin, end], decimals) if row["accuracy_interval"] else None,
                mcc=f"{row['mcc']:.3f}",
                left=f"{at(begin):.2f}",
                width=f"{at(end) - at(begin):.2f}",
                at=f"{at(row['accuracy']):.2f}",
            )
        )
    return Comparison(percent(low, 0), percent(high, 0), rows)
