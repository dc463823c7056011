"""``sentiment models``: list the models, and choose the champion by hand."""

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from flows.cli.options import DEFAULT_STORAGE, Command, Group, Json, Storage, output

models = typer.Typer(
    name="models",
    cls=Group,
    help="List the trained models and choose the champion.",
    no_args_is_help=True,
)

Why = Annotated[str, typer.Option(help="Reason, for the record.")]


@models.command("list", cls=Command)
def list_all(storage: Storage = DEFAULT_STORAGE, as_json: Json = False) -> None:
    """List the models, newest first: test accuracy, training date, marks.

    Commands use the champion. Accuracies are comparable only on the same test reviews; --json
    shows their digest as measured.tests, and the run that trained the model.
    """
    from tasks.registry.models import list_models
    from tasks.store import Store

    found = list_models(Store(storage))
    if as_json:
        entries = [{**asdict(m), "measured": m.measured and m.measured.model_dump()} for m in found]
        sys.stdout.write(json.dumps({"models": entries}) + "\n")
        return
    for model in found:  # lines, not a table: a narrow terminal would cut one
        accuracy = f"{model.measured.accuracy:.2%}" if model.measured else "-"
        marks = [
            "champion" if model.champion else "was champion" if model.was else "",
            "latest" if model.latest else "",
        ]
        trained = model.created[:16].replace("T", " ")  # UTC, to the minute
        known = (model.model, f"{accuracy:>7}", f"{trained} UTC")
        output.print("  ".join([*known, ", ".join(filter(None, marks))]).rstrip(), markup=False)
    if not found:
        output.print("No models yet. Train one with `sentiment run`.")


@models.command(cls=Command)
def promote(
    model: Annotated[str, typer.Argument(help="Key (or unique prefix), path, or `latest`.")],
    why: Why,
    storage: Storage = DEFAULT_STORAGE,
    as_json: Json = False,
) -> None:
    """Make a model the champion by hand, whatever its metrics."""
    from tasks.registry.champion import promote_by_hand, user
    from tasks.registry.models import find_model
    from tasks.store import Store

    store = Store(storage)
    found = find_model(store, model)
    entry = promote_by_hand(store, found.model, found.measured, who=user(), why=why)
    _show(entry.model_dump_json(), f"{entry.model} is the champion.", as_json)


@models.command(cls=Command)
def rollback(why: Why, storage: Storage = DEFAULT_STORAGE, as_json: Json = False) -> None:
    """Make the previous champion the champion again.

    No run promotes the model that was rolled back again; `models promote` can.
    """
    from tasks.registry.champion import roll_back, user
    from tasks.store import Store

    entry = roll_back(Store(storage), who=user(), why=why)
    _show(entry.model_dump_json(), f"{entry.model} is the champion again.", as_json)


def _show(entry: str, line: str, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(entry + "\n")
    else:
        output.print(line)
