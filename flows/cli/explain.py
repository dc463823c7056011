"""``sentiment explain``, which never loads Prefect."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.cli.options import (
    DEFAULT_STORAGE,
    Json,
    Model,
    Storage,
    messages,
    warn_of_generated,
)

if TYPE_CHECKING:
    from sentiment.explain.explanation import Explanation

MOST_ROWS = 12


def explain(
    text: Annotated[str, typer.Argument(help="The text to explain.")],
    model: Model = None,
    storage: Storage = DEFAULT_STORAGE,
    html: Annotated[
        Path | None, typer.Option(help="Also write a page with a chart to this file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Explain a prediction: what each word adds, what the LSTM does, if there is one.

    Needs the extra: pip install -c constraints.txt -e '.[explain]'.
    """
    from sentiment import Classifier
    from sentiment.errors import StorageError
    from sentiment.model.bundle import Bundle
    from sentiment.reports.explanation_page import render_explanation
    from tasks.registry.in_use import bundle_at

    classifier = Classifier(Bundle.load(bundle_at(model, storage)))
    warn_of_generated(classifier.generated)
    explanation = classifier.explain(text)
    if html is not None:
        try:
            html.write_text(render_explanation(explanation), encoding="utf-8")
        except OSError as error:
            raise StorageError(f"{html} cannot be written: {error.strerror}.") from error
        messages.print(f"Page written: {html}")
    if as_json:
        sys.stdout.write(json.dumps(explanation.to_json(), ensure_ascii=False) + "\n")
    else:
        print_explanation(explanation, Console(highlight=False, markup=False))


def print_explanation(explanation: "Explanation", console: Console) -> None:
    """Print the coloured text, the sum, and a table of the words with the largest effect."""
    from sentiment.reports.explanation_page import printable_words, strengths

    words = printable_words(explanation.words)
    console.print(f"{explanation.label}  P(positive) {explanation.probability:.3f}\n", style="bold")
    pieces = [Text(w, _style(s)) for w, s in zip(words, strengths(explanation), strict=True)]
    if explanation.left_out:
        pieces.insert(explanation.gap, Text("…"))
    console.print(Text(" ").join(pieces))
    if explanation.left_out:
        console.print(f"… stands for {explanation.left_out:,} words that the model does not read.")
    gained = explanation.logit - explanation.baseline
    console.print(
        f"\nAttributions add up to {explanation.attributions.sum():+.2f}. The logit is "
        f"{explanation.logit:+.2f} for this text\nand {explanation.baseline:+.2f} for as many "
        f"unknown words: a difference of {gained:+.2f}."
    )
    if not explanation.is_complete:
        miss = f"{abs(explanation.miss):.3f}"
        console.print(f"They miss it by {miss}; treat each value as accurate to about that.")
    strongest = abs(explanation.attributions).argsort(kind="stable")[::-1][:MOST_ROWS]
    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column("word", no_wrap=True, overflow="ellipsis", max_width=20)
    forward = explanation.forward
    states = ("input", "forget", "output", "cell") if forward is not None else ()
    for name in ("adds", "P so far", *states):
        table.add_column(name, justify="right", no_wrap=True)
    for at in sorted(strongest):
        word = Text(words[at] if explanation.known[at] else f"{words[at]} (unknown)")
        added, so_far = explanation.attributions[at], explanation.running[at]
        values = [f"{getattr(forward, state)[at]:.2f}" for state in states]
        table.add_row(word, f"{added:+.2f}", f"{so_far:.3f}", *values)
    console.print(table)
    if len(words) > MOST_ROWS:
        console.print(f"The {MOST_ROWS} of {len(words)} words with the largest effect, in order.")
    if forward is None:
        return
    direction = ", forward direction" if explanation.backward is not None else ""
    console.print(f"Gates (input, forget, output){direction}: 0 closed, 1 open. Cell: norm.")


def _style(strength: float) -> str:
    if abs(strength) < 0.15:
        return ""
    return ("bold " if abs(strength) > 0.5 else "") + ("blue" if strength > 0 else "dark_orange3")
