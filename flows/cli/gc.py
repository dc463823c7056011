"""``sentiment gc``."""

import json
import sys
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

import typer

from flows.cli.options import DEFAULT_STORAGE, Json, Storage, output


def gc(
    keep_runs: Annotated[
        int,
        typer.Option(
            min=1,
            help="Completed runs whose results are kept; those that computed nothing do not count.",
        ),
    ] = 5,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what would be removed; remove nothing.")
    ] = False,
    grace: Annotated[
        float,
        typer.Option(
            metavar="HOURS", min=0, help="Of a storage that is a URL, keep what is younger."
        ),
    ] = 24,
    storage: Storage = DEFAULT_STORAGE,
    as_json: Json = False,
) -> None:
    """Remove results that no recent run and no model in use needs."""
    from flows.steps import STAGES
    from tasks.gc import collect
    from tasks.store import Store

    stages = [module.STAGE.name for module in STAGES]
    hours = timedelta(hours=grace)
    freed = collect(Store.at(storage), stages, keep_runs=keep_runs, dry_run=dry_run, grace=hours)
    size = sum(entry.size for entry in freed)
    if as_json:
        entries = [asdict(entry) for entry in freed]
        sys.stdout.write(json.dumps({"dry_run": dry_run, "bytes": size, "freed": entries}) + "\n")
        return
    for entry in freed:
        output.print(f"{entry.size:>14,} bytes  {entry.path}")
    output.print(f"{size:>14,} bytes  {'would be freed' if dry_run else 'freed'}")
