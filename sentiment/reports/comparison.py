"""The texts and tables of two models side by side, shared by the terminal and the HTML page.

The models are called A and B, since their names may be long.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sentiment.evaluation.comparison import CHANCE
from sentiment.evaluation.side_by_side import Figure

NO_VALUE = "—"
LABELS = ("negative", "positive")
NAMES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "mcc": "MCC",
    "f1": "F1",
    "roc_auc": "ROC AUC",
    "loss": "Loss (nats)",
    "calibration_error": "Calibration error",
}
SHARES = ("accuracy", "balanced_accuracy", "f1")  # shown as percentages
LESS_IS_BETTER = ("loss", "calibration_error")
Pair = tuple[str, str]
Row = tuple[str, ...]


@dataclass(frozen=True)
class Disagreement:
    """A test review that only one of two models got right.

    ``label`` is 0 or 1; ``a`` and ``b`` are the models' probabilities of 1; ``text`` is None if it
    is gone.
    """

    label: int
    a: float
    b: float
    text: str | None


@dataclass(frozen=True)
class Comparison:
    """Two models, A and B, side by side; can be written as JSON.

    ``names`` are those they were asked for by, ``about`` what else is known of them. ``settings``
    are those that differ; ``unknown`` says by section which model's settings are not known.
    ``rows``, ``thresholds`` and ``figures`` are those of their evaluations, None or empty without
    one. ``difference`` (B minus A), ``test`` (:func:`sentiment.evaluation.comparison.compare` of B
    with A) and the disagreements are there only if both were measured on the same reviews;
    otherwise ``why_not`` says why they are missing.
    """

    names: Pair
    about: tuple[Mapping[str, str], Mapping[str, str]]
    settings: Mapping[str, tuple[Any, Any]]
    unknown: Mapping[str, str]
    rows: tuple[int | None, int | None]
    thresholds: tuple[float | None, float | None]
    figures: tuple[Mapping[str, Figure], Mapping[str, Figure]]
    why_not: str | None = None
    difference: Mapping[str, Figure] = field(default_factory=dict)
    test: Mapping[str, Any] | None = None
    only_a: Sequence[Disagreement] = ()
    only_b: Sequence[Disagreement] = ()

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False) + "\n"


def verdict(compared: Comparison) -> str:
    """Say in a sentence or two which model is better on the same reviews, or why nobody knows."""
    test, rows = compared.test, compared.rows[0]
    if test is None:
        return compared.why_not or ""
    counts = (
        f"Of {rows:,} test reviews, {test['lost']:,} are right with A alone and "
        f"{test['gained']:,} with B alone (McNemar's exact test: p {p_value(test['p'])})."
    )
    if test["p"] >= CHANCE or not test["difference"]:
        return f"The test reviews do not tell A and B apart. {counts}"
    better = "B" if test["difference"] > 0 else "A"
    return f"{better} is right more often, beyond chance. {counts}"


def about_rows(compared: Comparison) -> list[Row]:
    """Return a row for each fact: its name, then that of A and of B."""
    a, b = compared.about
    names = [name for name in {**a, **b} if a.get(name) or b.get(name)]
    facts = [(name, a.get(name) or NO_VALUE, b.get(name) or NO_VALUE) for name in names]
    rows, limits = compared.rows, compared.thresholds
    return [
        ("asked for as", *compared.names),
        *facts,
        ("test reviews", *(NO_VALUE if each is None else f"{each:,}" for each in rows)),
        ("threshold", *(NO_VALUE if each is None else f"{each:g}" for each in limits)),
    ]


def settings_rows(compared: Comparison) -> list[Row]:
    """Return a row for each setting that differs: its name, then its value in A and in B."""
    return [(name, *map(_setting, pair)) for name, pair in compared.settings.items()]


def settings_note(compared: Comparison) -> str | None:
    """Say which settings could not be compared."""
    if not compared.unknown:
        return None
    whose = {name: [] for name in compared.unknown.values()}  # type: dict[str, list[str]]
    for section, name in compared.unknown.items():
        whose[name].append(section)
    return " ".join(
        f"The settings {', '.join(sections)} of {name} are not known: no run in this storage used "
        "it."
        for name, sections in whose.items()
    )


def figure_rows(compared: Comparison) -> list[tuple[str, Pair, Pair, Pair]]:
    """Return a row for each figure: its name, then A's, B's and their difference.

    Each is a pair of texts: the value and its 95 % interval, or an empty text without one.
    """
    a, b = compared.figures
    return [
        (
            title,
            _figure(name, a.get(name)),
            _figure(name, b.get(name)),
            _figure(name, compared.difference.get(name), sign="+"),
        )
        for name, title in NAMES.items()
        if name in a or name in b
    ]


def p_value(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _setting(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _figure(name: str, figure: Figure | None, sign: str = "") -> Pair:
    if figure is None or figure.value is None:
        return NO_VALUE, ""

    def shown(value: float) -> str:
        if name in SHARES:
            return f"{100 * value:{sign}.1f}"
        return f"{value:{sign}.{3 if name == 'mcc' else 4}f}"

    unit = (" points" if sign else "\N{NO-BREAK SPACE}%") if name in SHARES else ""
    ends = figure.interval
    between = f"{shown(ends[0])} to {shown(ends[1])}" if ends else ""
    return f"{shown(figure.value)}{unit}", between
