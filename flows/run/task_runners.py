"""Task runners for mapped stages: threads, processes or Dask."""

import logging
from typing import Any

from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner, ThreadPoolTaskRunner

from tasks.run.config import RunConfig
from tasks.stage import Stage
from tasks.store.machine import cores


def task_runner(config: RunConfig, stage: Stage, missing: int) -> TaskRunner[Any]:
    """Return the runner for a stage with this many tasks to compute; the others are cached.

    Worker processes take seconds to start, so they are used only for a Python-bound stage with at
    least two tasks to compute.
    """
    workers = config.workers or cores()
    used = min(missing, workers)
    if config.runner == "threads" or not stage.python_bound or used < 2:
        return ThreadPoolTaskRunner(max_workers=workers)
    if config.runner == "processes":
        return ProcessPoolTaskRunner(max_workers=used)
    return _dask_runner(used)


def _dask_runner(workers: int) -> TaskRunner[Any]:
    """Return a runner on a local Dask cluster: one process per worker, one task at a time."""
    from prefect_dask.task_runners import DaskTaskRunner

    logging.getLogger("distributed").setLevel(logging.ERROR)  # it logs the start of every worker
    local = "127.0.0.1:0"  # Dask serves health pages even without a dashboard
    return DaskTaskRunner(
        cluster_kwargs={
            "n_workers": workers,
            "threads_per_worker": 1,
            "host": "127.0.0.1",
            "dashboard_address": local,
            "worker_dashboard_address": local,
            "scheduler_kwargs": {"dashboard": False},
        }
    )
