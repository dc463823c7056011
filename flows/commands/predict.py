"""``sentiment predict``, which never loads Prefect."""

import json
import sys
from itertools import islice
from typing import Annotated

import typer

from flows.commands.options import DEFAULT_STORAGE, Json, Model, Storage, messages, model_folder

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
    empty = 0
    lines = iter(texts) if texts else (line.rstrip("\r\n") for line in sys.stdin)
    while batch := list(islice(lines, PREDICT_BATCH)):
        for text, chance in zip(batch, classifier.predict_proba(batch), strict=True):
            if not text.strip():
                empty += 1
            print_prediction(text, float(chance), as_json)
    if empty:
        messages.print(f"{empty:,} empty texts have no prediction.", style="yellow")


def print_prediction(text: str, chance: float, as_json: bool) -> None:
    """Print one prediction; an empty text has none, but keeps its line."""
    known = bool(text.strip())
    label = ("negative", "positive")[chance >= 0.5] if known else None
    if as_json:
        entry = {"text": text, "label": label, "probability": chance if known else None}
        sys.stdout.write(json.dumps(entry, ensure_ascii=False) + "\n")
    else:
        shown = f"{chance:.3f}" if known else "-"
        sys.stdout.write(f"{label or 'empty':<8}  P(positive) {shown:>5}  {text}\n")
