"""``sentiment predict``, which never loads Prefect."""

import json
import re
import sys
from collections import Counter
from itertools import islice
from typing import Annotated

import typer

from flows.cli.options import (
    DEFAULT_STORAGE,
    Json,
    Model,
    Storage,
    messages,
    warn_of_generated,
)
from sentiment.model.registry import model_folder

PREDICT_BATCH = 256  # lines


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

    Prints a line for each text; with --json an object {text, label, probability}, where the
    probability is that of positive.
    """
    from sentiment import Classifier
    from sentiment.model.bundle import Bundle

    classifier = Classifier(Bundle.load(model_folder(model, storage)))
    warn_of_generated(classifier.generated)
    without: Counter[str] = Counter()
    if texts:  # invalid UTF-8 arrives as surrogate escapes
        lines = iter([text.encode("utf-8", "surrogateescape") for text in texts])
    else:
        lines = (line.rstrip(b"\r\n") for line in sys.stdin.buffer)
    while batch := list(islice(lines, PREDICT_BATCH)):
        read = [line.decode("utf-8", "replace") for line in batch]
        why = [unusable(line) for line in batch]
        probabilities = classifier.probabilities(read)
        for text, fault, probability in zip(read, why, probabilities, strict=True):
            positive = bool(probability >= classifier.threshold)
            print_prediction(text, fault, float(probability), positive, as_json)
        without.update(filter(None, why))
    for fault, number in without.items():
        plural = "s" * (number > 1)
        messages.print(f"No prediction for {number:,} {fault} text{plural}.", style="yellow")


def unusable(line: bytes) -> str:
    """Return why a text has no prediction; empty if it has one."""
    try:
        return "" if line.decode("utf-8").strip() else "empty"
    except UnicodeDecodeError:
        return "invalid UTF-8"


def print_prediction(
    text: str, fault: str, probability: float, positive: bool, as_json: bool
) -> None:
    """Print one prediction; a text with a fault keeps its line but has none."""
    label = None if fault else ("negative", "positive")[positive]
    if as_json:
        entry = {"text": text, "label": label, "probability": None if fault else probability}
        sys.stdout.write(json.dumps(entry, ensure_ascii=False) + "\n")
    else:
        shown = "-" if fault else f"{probability:.3f}"
        sys.stdout.write(f"{label or fault:<8}  P(positive) {shown:>5}  {printable(text)}\n")


# Control characters, line separators, and marks that change the direction of what follows.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Return a text in one line, with what would control a terminal written as an escape."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
