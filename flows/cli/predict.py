"""``sentiment predict``, which never loads Prefect."""

import json
import re
import sys
from collections import Counter
from itertools import islice
from typing import Annotated, Any

import typer

from flows.cli.options import (
    DEFAULT_STORAGE,
    Json,
    Model,
    Storage,
    messages,
    warn_of_generated,
)

PREDICT_BATCH = 256  # lines
MOST_NAMED = 3  # of the texts of which the model knows few words


def predict(
    texts: Annotated[
        list[str] | None,
        typer.Argument(help="Texts to classify; if none, lines of standard input."),
    ] = None,
    model: Model = None,
    storage: Storage = DEFAULT_STORAGE,
    as_json: Json = False,
) -> None:
    """Classify texts as negative or positive, with probabilities.

    Prints a line for each text; with --json an object {text, label, probability, words, known}:
    the probability is that of positive, known the number of words that the model knows. A fastText
    label (`__label__1`) before a text is not part of it.
    """
    from sentiment import Classifier
    from sentiment.classifier import LABELS
    from sentiment.data.reviews import split_label
    from sentiment.model.bundle import Bundle
    from sentiment.model.texts import barely_known
    from tasks.registry.in_use import bundle_at

    classifier = Classifier(Bundle.load(bundle_at(model, storage)))
    warn_of_generated(classifier.generated)
    without: Counter[str] = Counter()
    strange, first = 0, list[str]()  # texts that the model barely knows; what to say of some
    if texts:  # invalid UTF-8 arrives as surrogate escapes
        lines = iter([text.encode("utf-8", "surrogateescape") for text in texts])
    else:
        lines = (line.rstrip(b"\r\n") for line in sys.stdin.buffer)
    lines = (split_label(line)[1] for line in lines)
    while batch := list(islice(lines, PREDICT_BATCH)):
        read = [line.decode("utf-8", "replace") for line in batch]
        why = [unusable(line) for line in batch]
        scores = classifier.score(read)
        barely = barely_known(scores)
        for at, (text, fault) in enumerate(zip(read, why, strict=True)):
            probability = float(scores.probabilities[at])
            words = int(scores.words[at])
            known = words - int(scores.unknown[at])
            entry: dict[str, Any] = {"text": text, "label": None, "probability": None}
            entry |= {"words": 0, "known": 0}
            if not fault:
                entry["label"] = LABELS[probability >= classifier.threshold]
                entry |= {"probability": probability, "words": words, "known": known}
            print_prediction(entry, fault, as_json)
            if barely[at] and not fault:
                strange += 1
                if len(first) < MOST_NAMED:
                    first.append(f"{known} of {words} words known: {printable(text)[:40]}")
        without.update(filter(None, why))
    for fault, number in without.items():
        plural = "s" * (number > 1)
        messages.print(f"No prediction for {number:,} {fault} text{plural}.", style="yellow")
    if strange:
        warn_of_strange(strange, first)


def warn_of_strange(number: int, first: list[str]) -> None:
    """Say that the model knows few words of some texts, and which the first of them are."""
    for line in first:
        messages.print(line, style="yellow", soft_wrap=True)
    what = "this text" if number == 1 else f"{number:,} texts"
    messages.print(
        f"Warning: the model knows fewer than half of the words of {what}, so the prediction says "
        "little. It reads the language that it was trained on.",
        style="yellow",
        soft_wrap=True,
    )


def unusable(line: bytes) -> str:
    """Return why a text has no prediction; empty if it has one."""
    try:
        return "" if line.decode("utf-8").strip() else "empty"
    except UnicodeDecodeError:
        return "invalid UTF-8"


def print_prediction(entry: dict[str, Any], fault: str, as_json: bool) -> None:
    """Print one prediction; a text with a fault keeps its line but has none."""
    if as_json:
        sys.stdout.write(json.dumps(entry, ensure_ascii=False) + "\n")
    else:
        shown = "-" if fault else f"{entry['probability']:.3f}"
        text = printable(entry["text"])
        sys.stdout.write(f"{entry['label'] or fault:<8}  P(positive) {shown:>5}  {text}\n")


# Control characters, line separators, and marks that change the direction of what follows.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Return a text in one line, with what would control a terminal written as an escape."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
