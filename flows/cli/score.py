"""``sentiment score``, which never loads Prefect."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import (
    DEFAULT_STORAGE,
    Column,
    Encoding,
    Json,
    LabelColumn,
    Model,
    Separator,
    Storage,
    messages,
    output,
    show,
    table_overrides,
)


def score(
    files: Annotated[list[Path], typer.Argument(help="Files of reviews.", metavar="FILE")],
    out: Annotated[Path, typer.Option(help="Output folder; rerun with the same one to resume.")],
    model: Model = None,
    column: Column = None,
    label_column: LabelColumn = None,
    separator: Separator = None,
    encoding: Encoding = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Replace a setting of docs/scoring.md, such as chunk_size=100000.",
        ),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Column to write beside the scores (repeatable)."),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option("--format", metavar="FORMAT", help="parquet (the default), csv or jsonl."),
    ] = None,
    with_text: Annotated[bool, typer.Option("--with-text", help="Also write the texts.")] = False,
    fast: Annotated[
        bool,
        typer.Option(
            "--fast",
            help="About three times as fast; changes at most about one label in a thousand.",
        ),
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Overwrite scores made with another model or input, or other settings."
        ),
    ] = False,
    storage: Storage = DEFAULT_STORAGE,
    as_json: Json = False,
) -> None:
    """Score files of reviews into Parquet, CSV or JSON lines.

    Reads fastText or plain lines, CSV, TSV, JSON lines and Parquet, also compressed (.bz2, .gz,
    .xz, .zst, .zip). Interrupted? Run the same command to resume.
    """
    from flows.config.presets import as_overrides, score_config
    from flows.ui.reporters import LineReporter, LiveReporter, reporting
    from flows.ui.score_summary import scores_table, warnings_of

    config = score_config(
        [
            *table_overrides("", column, label_column, separator, encoding),
            *as_overrides(
                {
                    "keep": keep or None,
                    "format": form,
                    "with_text": with_text or None,
                    "fast": fast or None,
                }
            ),
            *(overrides or []),
        ]
    )
    from sentiment.scoring.score_files import check_bad_rows, score_files
    from tasks.registry.in_use import bundle_at

    reporter = LiveReporter(messages) if messages.is_terminal else LineReporter(messages)
    with reporting(reporter, "score") as progress:
        summary = score_files(
            files,
            out,
            model=bundle_at(model, storage),
            config=config,
            force=force,
            progress=progress,
        )
    if as_json:
        sys.stdout.write(json.dumps(summary) + "\n")
    else:
        show(scores_table(summary))
        output.print(f"Written to {out}: a folder of parts for each file.")
    for warning in warnings_of(summary):
        messages.print(f"Warning: {warning}", style="yellow", soft_wrap=True)
    check_bad_rows(summary, out, config)
