"""The mistakes that a report shows, with their words shaded by what they add."""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sentiment.reports.numbers import NO_VALUE, percent

LONGEST_TEXT = 600  # characters shown of a review
LEVELS = (0.2, 0.4, 0.7)  # shares of the strongest attribution where the shading gets stronger
STRONGEST = 3  # words listed for each direction
MISTAKES = (
    ("false_positive", "False positives: {count} negative reviews taken for positive"),
    ("false_negative", "False negatives: {count} positive reviews taken for negative"),
)
# Marks that would change the text direction, even after the quote.
_DIRECTION_MARKS = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True)
class Mistake:
    """A test review that the model got wrong; ``probability`` is P(positive).

    ``words`` are those that the model read, ``attributions`` their shares of the logit.
    """

    row: int
    text: str
    label: int
    probability: float
    words: list[str]
    attributions: list[float]


def mistakes_by_kind(
    mistakes: Sequence[Mistake], metrics: dict[str, Any]
) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return what the report shows of the mistakes, formatted: each kind, counted, with its texts.

    ``words`` are triples: a word, its attribution, and its CSS class.
    """
    found = []
    for label, (name, kind) in enumerate(MISTAKES):
        those = [_shown(each, metrics["threshold"]) for each in mistakes if each.label == label]
        count = metrics["confusion"][name]
        some = f", the {len(those):,} most confident" if len(those) < count else ""
        found.append((f"{kind.format(count=f'{count:,}')}{some}", those))
    return [(name, those) for name, those in found if those]


def _shown(mistake: Mistake, threshold: float) -> dict[str, Any]:
    names = ("negative", "positive")
    predicted = mistake.probability >= threshold
    by_value = sorted(
        zip(mistake.attributions, mistake.words, strict=True), key=lambda pair: pair[0]
    )
    return {
        "row": f"{mistake.row:,}",
        "text": excerpt(mistake.text),
        "label": names[mistake.label],
        "predicted": names[predicted],
        "probability": _confident(mistake.probability),
        "words": list(_highlighted(mistake)),
        "to_positive": _strongest(p for p in by_value[: -STRONGEST - 1 : -1] if p[0] > 0),
        "to_negative": _strongest(p for p in by_value[:STRONGEST] if p[0] < 0),
    }


def _strongest(attributed: Iterable[tuple[float, str]]) -> str:
    """List words with their attributions, leaving out those that round to zero."""
    named = [f"{excerpt(word)} {value:+.2f}" for value, word in attributed if abs(value) >= 0.005]
    return ", ".join(named) or NO_VALUE


def _highlighted(mistake: Mistake) -> Iterator[tuple[str, str, str]]:
    strongest = max(map(abs, mistake.attributions), default=0.0)
    shown = 0
    for word, value in zip(mistake.words, mistake.attributions, strict=True):
        word = excerpt(word)
        shown += len(word) + 1
        if shown > LONGEST_TEXT:
            yield "…", "", ""
            return
        share = abs(value) / strongest if strongest else 0.0
        level = sum(share >= bound for bound in LEVELS)
        yield word, f"{value:+.2f}", f"{'up' if value > 0 else 'down'}{level}" if level else ""


def excerpt(text: str) -> str:
    """Return a text on one line, cut at a word if it is long, without control characters.

    Surrogates, which no file can hold, and marks that change the text direction are removed too.
    """
    text = "".join(
        mark
        for mark in " ".join(text.split())
        if unicodedata.category(mark) not in {"Cc", "Cs"} and mark not in _DIRECTION_MARKS
    )
    if len(text) <= LONGEST_TEXT:
        return text
    head = text[:LONGEST_TEXT]
    return (head.rsplit(" ", 1)[0] if " " in head[-40:] else head) + " …"


def _confident(probability: float) -> str:
    """Format a probability without rounding 99.97 % to certainty."""
    if probability > 0.999:
        return "over 99.9\N{NO-BREAK SPACE}%"
    if probability < 0.001:
        return "under 0.1\N{NO-BREAK SPACE}%"
    return percent(probability, 1)
