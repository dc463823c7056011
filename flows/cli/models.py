"""``sentiment models``: list the models, and choose the champion by hand."""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import (
    DEFAULT_STORAGE,
    WIDEST,
    Command,
    Group,
    Json,
    Storage,
    output,
    warn_of_generated,
)
from sentiment.model.registry import DEFAULT

if TYPE_CHECKING:
    from tasks.registry.models import Model

HEAD = ("model", "trained (UTC)", "data", "preset", "test", "linear", "")
SHORTEST = 8  # digits of a key that are shown

models = typer.Typer(
    name="models",
    cls=Group,
    help="List the trained models and choose the champion.",
    no_args_is_help=True,
)

Champion = Annotated[
    str, typer.Option(metavar="NAME", help="Which champion, where there are several.")
]
Why = Annotated[str, typer.Option(help="Reason, for the record.")]


@models.command("list", cls=Command)
def list_all(storage: Storage = DEFAULT_STORAGE, as_json: Json = False) -> None:
    """List the models, newest first.

    test: accuracy on the test reviews; linear: that of a linear model trained on the same reviews.
    Accuracies on different test sets are not comparable; those on generated reviews do not carry
    over to real ones. Commands use the champion. --json also shows the digests of model and test
    reviews, and the run.
    """
    from tasks.registry.models import list_models
    from tasks.store import Store

    found = list_models(Store.at(storage))
    if as_json:
        entries = [{**asdict(m), "measured": m.measured and m.measured.model_dump()} for m in found]
        sys.stdout.write(json.dumps({"models": entries}) + "\n")
        return
    in_use = [m for m in found if m.champion] or [m for m in found if m.latest]
    warn_of_generated(any(model.generated for model in in_use))
    if not found:
        output.print("No models yet. Train one with `sentiment run`.")
        return
    for line in lines_of(found, output.width if output.is_terminal else WIDEST):
        output.print(line)


def lines_of(models: "Sequence[Model]", width: int) -> Iterator[str]:
    """Yield a head and a line for each model; long names of data are cut to fit the width."""
    from tasks.registry.champion import of

    digits = SHORTEST
    while len({model.key[:digits] for model in models}) < len(models):
        digits += 1
    rows = [HEAD]
    for model in models:
        measured, origin = model.measured, model.origin
        data = "generated" if model.generated else origin.data or "-"
        marks = [
            *(f"champion{of(name)}" for name in model.champions),
            "was champion" if model.was and not model.champions else "",
            "latest" if model.latest else "",
        ]
        rows.append(
            (
                model.key[:digits],
                model.created[:16].replace("T", " "),  # to the minute
                Path(data).name,
                Path(origin.preset or "-").stem,
                f"{measured.accuracy:.2%}" if measured else "-",
                f"{origin.baseline:.2%}" if origin.baseline is not None else "-",
                ", ".join(filter(None, marks)),
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    over = max(0, sum(widths) + 2 * (len(widths) - 1) - width)
    widths[2] = max(len("generated"), widths[2] - over)
    for row in rows:
        cells = [
            _cut(cell, space).rjust(space) if at in (4, 5) else _cut(cell, space).ljust(space)
            for at, (cell, space) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def _cut(text: str, space: int) -> str:
    return text if len(text) <= space else text[: space - 1] + "…"


@models.command(cls=Command)
def promote(
    model: Annotated[str, typer.Argument(help="Key (or unique prefix), path, or `latest`.")],
    why: Why,
    champion: Champion = DEFAULT,
    storage: Storage = DEFAULT_STORAGE,
    as_json: Json = False,
) -> None:
    """Make a model the champion by hand, whatever its metrics."""
    from tasks.registry.champion import of, promote_by_hand, user
    from tasks.registry.models import find_model
    from tasks.store import Store

    store = Store.at(storage)
    found = find_model(store, model)
    entry = promote_by_hand(store, found.model, found.measured, who=user(), why=why, name=champion)
    warn_of_generated(found.generated)
    _show(entry.model_dump_json(), f"{entry.model} is the champion{of(champion)}.", as_json)


@models.command(cls=Command)
def rollback(
    why: Why,
    champion: Champion = DEFAULT,
    storage: Storage = DEFAULT_STORAGE,
    as_json: Json = False,
) -> None:
    """Make the previous champion the champion again.

    No run promotes the model that was rolled back again; `models promote` can.
    """
    from tasks.registry.champion import bundle_of, of, roll_back, user
    from tasks.registry.models import of_generated
    from tasks.store import Store

    store = Store.at(storage)
    entry = roll_back(store, who=user(), why=why, name=champion)
    warn_of_generated(of_generated(bundle_of(store, entry.model), entry.measured))
    _show(entry.model_dump_json(), f"{entry.model} is the champion{of(champion)} again.", as_json)


def _show(entry: str, line: str, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(entry + "\n")
    else:
        output.print(line)
