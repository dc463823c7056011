"""The flow ``gc``: remove old results, on a schedule."""

from typing import Annotated

from prefect import flow, get_run_logger
from pydantic import Field

from flows.config.presets import storage_root
from flows.steps import STAGES
from tasks import gc as collection
from tasks.store import Store


@flow(name="gc")
def gc(
    storage: str | None = None,
    keep_runs: Annotated[int, Field(ge=1)] = 5,
    dry_run: bool = False,
) -> int:
    """Remove results that no recent run and no model in use needs; return the bytes freed.

    Args:
        storage: Storage folder; empty for SENTIMENT_STORAGE, else ./storage.
        keep_runs: Completed runs that computed something, whose results are kept.
        dry_run: List what would be removed; remove nothing.
    """
    store = Store(storage_root(storage))
    stages = [module.STAGE.name for module in STAGES]
    freed = collection.collect(store, stages, keep_runs=keep_runs, dry_run=dry_run)
    log = get_run_logger()
    for entry in freed:
        log.info(f"{entry.size:>14,} bytes  {entry.path}")
    size = sum(entry.size for entry in freed)
    log.info(f"{size:>14,} bytes  {'would be freed' if dry_run else 'freed'}")
    return size
