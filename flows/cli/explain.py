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

from flows.cli.options import DEFAULT_STORAGE, Json, Model, Storage, messages
from sentiment.model.registry import model_folder

if TYPE_CHECKING:
    from sentiment.explain.explanation import Explanation

MOST_ROWS = 12


def explain(
    text: Annotated[str, typer.Argument(help="The text to explain.")],
    model: Model = None,
    storage: Storage = DEFAULT_STORAGE,
    html: Annotated[Path | None, typer.Option(help="Also write a page with a chart here.")] = None,
    as_json: Json = False,
) -> None:
    """Show why a text gets its probability: what each word adds, what the LSTM does at it.

    Needs the extra: pip install -c constraints.txt -e '.[explain]'.
    """
    from sentiment import Classifier
    from sentiment.errors import StorageError
    from sentiment.reports.explanation_page import render_explanation

    told = Classifier.load(model_folder(model, storage)).explain(text)
    if html is not None:
        try:
            html.write_text(render_explanation(told), encoding="utf-8")
        except OSError as error:
            raise StorageError(f"{html} cannot be written: {error.strerror}.") from error
        messages.print(f"Page written: {html}", markup=False)
    if as_json:
        sys.stdout.write(json.dumps(told.to_json(), ensure_ascii=False) + "\n")
    else:
        print_explanation(told, Console(highlight=False))


def print_explanation(told: "Explanation", console: Console) -> None:
    """Print the coloured text, the sum, and a table of the words that count most, in order."""
    from sentiment.reports.explanation_page import shown_words, strengths

    words = shown_words(told.words)
    label = ("negative", "positive")[told.probability >= 0.5]
    console.print(f"{label}  P(positive) {told.probability:.3f}\n", style="bold")
    pieces = [Text(w, _style(s)) for w, s in zip(words, strengths(told), strict=True)]
    console.print(Text(" ").join(pieces))
    if told.left_out:
        console.print(f"The model does not read the {told.left_out:,} words after these.")
    gained = told.logit - told.baseline
    console.print(
        f"\nContributions add up to {told.contributions.sum():+.2f}. The logit is "
        f"{told.logit:+.2f} for this text\nand {told.baseline:+.2f} for as many unknown words: "
        f"{gained:+.2f} in all."
    )
    if not told.is_complete:
        console.print(f"They miss that by {abs(told.miss):.3f}: take each as about that exact.")
    strongest = abs(told.contributions).argsort(kind="stable")[::-1][:MOST_ROWS]
    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column("word", no_wrap=True, overflow="ellipsis", max_width=20)
    for name in ("adds", "P so far", "input", "forget", "output", "cell"):
        table.add_column(name, justify="right", no_wrap=True)
    gates = (told.ahead.input, told.ahead.forget, told.ahead.output, told.ahead.cell)
    for at in sorted(strongest):
        word = Text(words[at] if told.known[at] else f"{words[at]} (unknown)")
        figures = [f"{told.running[at]:.3f}", *(f"{column[at]:.2f}" for column in gates)]
        table.add_row(word, f"{told.contributions[at]:+.2f}", *figures)
    console.print(table)
    if len(words) > MOST_ROWS:
        console.print(f"The {MOST_ROWS} of {len(words)} words that add or take most, in order.")
    ahead = ", reading ahead" if told.back is not None else ""
    console.print(f"Gates (input, forget, output){ahead}: 0 closed, 1 open. Cell: length.")


def _style(strength: float) -> str:
    if abs(strength) < 0.15:
        return ""
    return ("bold " if abs(strength) > 0.5 else "") + ("blue" if strength > 0 else "dark_orange3")
