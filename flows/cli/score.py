"""``sentiment score``, which never loads Prefect."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import (
    DEFAULT_STORAGE,
    Json,
    Model,
    Storage,
    messages,
    output,
)
from sentiment.model.registry import model_folder


def score(
    files: Annotated[list[Path], typer.Argument(help="Files of reviews.", metavar="FILE")],
    out: Annotated[Path, typer.Option(help="Folder of the scores; the same one goes on.")],
    model: Model = None,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A table's column of text; several are joined."),
    ] = None,
    label_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="A table's column of labels, for metrics.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="A setting of docs/scoring.md: chunk_size=100000."
        ),
    ] = None,
    with_text: Annotated[bool, typer.Option("--with-text", help="Also write the texts.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace scores made from something else.")
    ] = False,
    storage: Storage = DEFAULT_STORAGE,
    as_json: Json = False,
) -> None:
    """Score whole files into Parquet: lines (fastText or plain), CSV, JSON lines, Parquet.

    Plain or as .bz2, .gz, .zst. Stopped half-way, the same command goes on.
    """
    from flows.config.presets import score_config
    from flows.ui.reporters import LineReporter, LiveReporter, reporting
    from flows.ui.score_summary import scores_table, warnings_of

    config = score_config(column or (), label_column, with_text, overrides or ())
    from sentiment.scoring.score_files import score_files

    reporter = LiveReporter(messages) if messages.is_terminal else LineReporter(messages)
    with reporting(reporter, "score") as progress:
        summary = score_files(
            files,
            out,
            model=model_folder(model, storage),
            config=config,
            force=force,
            progress=progress,
        )
    if as_json:
        sys.stdout.write(json.dumps(summary) + "\n")
    else:
        output.print(scores_table(summary))
        output.print(f"Written to {out}, for each file a folder of Parquet parts.", markup=False)
    for warning in warnings_of(summary):
        messages.print(f"Warning: {warning}", style="yellow", soft_wrap=True, markup=False)
