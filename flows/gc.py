"""The flow ``gc``: remove old results, on a schedule."""

from datetime import timedelta
from typing import Annotated

from prefect import flow, get_run_logger
from pydantic import Field

from flows.config.presets import storage_place
from flows.steps import STAGES
from tasks import gc as collection
from tasks.store import Store


@flow(name="gc")
def gc(
    storage: str | None = None,
    keep_runs: Annotated[int, Field(ge=1)] = 5,
    dry_run: bool = False,
    grace: Annotated[float, Field(ge=0)] = 24,
) -> int:
    """Remove results that no recent run and no model in use needs; return the bytes freed.

    Args:
        storage: Storage folder or URL; empty for SENTIMENT_STORAGE, else ./storage.
        keep_runs: Completed runs that computed something, whose results are kept.
        dry_run: List what would be removed; remove nothing.
        grace: Remote storage only: keep objects newer than this many hours.
    """
    store = Store.at(storage_place(storage))
    stages = [module.STAGE.name for module in STAGES]
    hours = timedelta(hours=grace)
    freed = collection.collect(store, stages, keep_runs=keep_runs, dry_run=dry_run, grace=hours)
    log = get_run_logger()
    for entry in freed:
        log.info(f"{entry.size:>14,} bytes  {entry.path}")
    size = sum(entry.size for entry in freed)
    log.info(f"{size:>14,} bytes  {'would be freed' if dry_run else 'freed'}")
    return size
