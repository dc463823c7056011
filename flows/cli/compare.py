"""``sentiment compare``: two models or runs side by side, without Prefect."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from flows.cli.options import DEFAULT_STORAGE, Json, Storage, messages, output, show

if TYPE_CHECKING:
    from sentiment.reports.comparison import Comparison, Disagreement, Row


def compare(
    a: Annotated[
        str,
        typer.Argument(
            help="Model: a champion's name, (the start of) a key, `latest`, a bundle's folder, or "
            "the id of a run."
        ),
    ],
    b: Annotated[str, typer.Argument(help="The model to compare with it.")],
    storage: Storage = DEFAULT_STORAGE,
    reviews: Annotated[
        int, typer.Option(min=0, help="Reviews to show that only one of the two gets right, each.")
    ] = 5,
    html: Annotated[Path | None, typer.Option(help="Also write a page to this file.")] = None,
    as_json: Json = False,
) -> None:
    """Compare two models: settings, figures, McNemar's test, and reviews on which they disagree."""
    from sentiment.errors import StorageError
    from tasks.registry.compared import compare_models
    from tasks.store import Store

    compared = compare_models(Store.at(storage), a, b, reviews)
    if html is not None:
        from sentiment.reports.compare_page import render_comparison

        try:
            html.write_text(render_comparison(compared), encoding="utf-8")
        except OSError as error:
            raise StorageError(f"{html} cannot be written: {error.strerror}.") from error
        messages.print(f"Page written: {html}")
    if as_json:
        sys.stdout.write(compared.to_json())
    else:
        print_comparison(compared)


def print_comparison(compared: "Comparison") -> None:
    """Print the verdict and the tables of a comparison."""
    from sentiment.reports import comparison as texts

    output.print(texts.verdict(compared), style="bold")
    _table(("", "A", "B"), texts.about_rows(compared))
    if figures := texts.figure_rows(compared):
        between = "\n" if output.is_terminal else "  "
        rows = [(n, *(between.join(filter(None, pair)) for pair in rest)) for n, *rest in figures]
        columns = 4 if compared.difference else 3
        head = ("95 % intervals", "A", "B", "B - A")
        _table(head[:columns], [row[:columns] for row in rows])
    if settings := texts.settings_rows(compared):
        _table(("Settings that differ", "A", "B"), settings)
    elif not compared.unknown:
        output.print("All settings are the same.")
    if note := texts.settings_note(compared):
        output.print(note)
    for which, found in (("A", compared.only_a), ("B", compared.only_b)):
        if found:
            output.print(f"\nRight with {which} alone, the most different probabilities first:")
            _disagreements(found)


def _disagreements(found: "Iterable[Disagreement]") -> None:
    from sentiment.reports.comparison import LABELS
    from sentiment.reports.mistakes import excerpt

    table = Table(box=None, pad_edge=False)
    for name in ("label", "P by A", "P by B"):
        table.add_column(name, no_wrap=True, min_width=len("positive"))
    table.add_column("text", no_wrap=True, overflow="ellipsis", ratio=1)
    for each in found:
        text = "(the text is gone)" if each.text is None else excerpt(each.text)
        row = (LABELS[each.label], f"{each.a:.3f}", f"{each.b:.3f}")
        table.add_row(*row, text)
    show(table)


def _table(head: Sequence[str], rows: "Iterable[Row]") -> None:
    table = Table(box=box.SIMPLE, pad_edge=False)
    for name in head:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    show(table)
