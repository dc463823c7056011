"""``sentiment gc``."""

import json
import sys
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

import typer

from flows.cli.options import DEFAULT_STORAGE, Json, Storage, output
from sentiment.errors import ConfigError

KEEP_RUNS, GRACE = 5, 24  # completed runs, hours


def gc(
    keep_runs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Completed runs whose results are kept; those that computed nothing do not count.",
            show_default=str(KEEP_RUNS),
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what would be removed; remove nothing.")
    ] = False,
    grace: Annotated[
        float | None,
        typer.Option(
            metavar="HOURS",
            min=0,
            help="Remote storage only: keep objects newer than this many hours.",
            show_default=str(GRACE),
        ),
    ] = None,
    cache: Annotated[
        bool,
        typer.Option(
            "--cache",
            help="Empty this machine's cache of remote storage; remove nothing there.",
        ),
    ] = False,
    storage: Storage = DEFAULT_STORAGE,
    as_json: Json = False,
) -> None:
    """Remove results that no recent run and no model in use needs."""
    from flows.steps import STAGES
    from tasks.gc import collect, empty_cache
    from tasks.store import Store

    if cache and (keep_runs, grace) != (None, None):
        raise ConfigError("--cache cannot be combined with --keep-runs or --grace.")
    store, stages = Store.at(storage), [module.STAGE.name for module in STAGES]
    if cache:
        freed = empty_cache(store, stages, dry_run=dry_run)
    else:
        runs = KEEP_RUNS if keep_runs is None else keep_runs
        hours = timedelta(hours=GRACE if grace is None else grace)
        freed = collect(store, stages, keep_runs=runs, dry_run=dry_run, grace=hours)
    size = sum(entry.size for entry in freed)
    if as_json:
        entries = [asdict(entry) for entry in freed]
        sys.stdout.write(json.dumps({"dry_run": dry_run, "bytes": size, "freed": entries}) + "\n")
        return
    for entry in freed:
        output.print(f"{entry.size:>14,} bytes  {entry.path}")
    output.print(f"{size:>14,} bytes  {'would be freed' if dry_run else 'freed'}")
