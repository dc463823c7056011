"""``sentiment predict``, which never loads Prefect."""

import json
import sys
from collections import Counter
from itertools import islice
from typing import Annotated

import typer

from flows.cli.options import DEFAULT_STORAGE, Json, Model, Storage, messages
from sentiment.model.registry import model_folder

PREDICT_BATCH = 256  # lines


def predict(
    texts: Annotated[
        list[str] | None, typer.Argument(help="Texts; without any, lines from standard input.")
    ] = None,
    model: Model = None,
    storage: Storage = DEFAULT_STORAGE,
    as_json: Json = False,
) -> None:
    """Say whether texts are negative or positive, and how probable positive is.

    A line of output for each text; with --json an object {text, label, probability}, where
    probability is that of positive.
    """
    from sentiment import Classifier

    classifier = Classifier.load(model_folder(model, storage))
    without: Counter[str] = Counter()
    if texts:  # what is no UTF-8 comes as escapes
        lines = iter([text.encode("utf-8", "surrogateescape") for text in texts])
    else:
        lines = (line.rstrip(b"\r\n") for line in sys.stdin.buffer)
    while batch := list(islice(lines, PREDICT_BATCH)):
        read = [line.decode("utf-8", "replace") for line in batch]
        why = [unusable(line) for line in batch]
        chances = classifier.predict_proba(read)
        for text, fault, chance in zip(read, why, chances, strict=True):
            print_prediction(text, fault, float(chance), as_json)
        without.update(filter(None, why))
    for fault, number in without.items():
        messages.print(f"{number:,} texts have no prediction: {fault}.", style="yellow")


def unusable(line: bytes) -> str:
    """Say why a text has no prediction; empty for one that has."""
    try:
        return "" if line.decode("utf-8").strip() else "empty"
    except UnicodeDecodeError:
        return "no UTF-8"


def print_prediction(text: str, fault: str, chance: float, as_json: bool) -> None:
    """Print one prediction; a text with a fault has none, but keeps its line."""
    label = None if fault else ("negative", "positive")[chance >= 0.5]
    if as_json:
        entry = {"text": text, "label": label, "probability": None if fault else chance}
        sys.stdout.write(json.dumps(entry, ensure_ascii=False) + "\n")
    else:
        shown = "-" if fault else f"{chance:.3f}"
        sys.stdout.write(f"{label or fault:<8}  P(positive) {shown:>5}  {text}\n")
