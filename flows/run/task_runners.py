"""What the tasks of a mapped stage are spread over."""

import logging
from typing import Any

from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner, ThreadPoolTaskRunner

from tasks.config import RunConfig
from tasks.stage import Stage
from tasks.store.machine import cores


def task_runner(config: RunConfig, stage: Stage, missing: int) -> TaskRunner[Any]:
    """Return the runner for a stage with this many tasks to compute (the others are cached).

    Worker processes take seconds to start: only a stage that is bound by Python, with at least two
    tasks to compute, pays for them.
    """
    workers = config.workers or cores()
    used = min(missing, workers)
    if config.runner == "threads" or not stage.python_bound or used < 2:
        return ThreadPoolTaskRunner(max_workers=workers)
    if config.runner == "processes":
        return ProcessPoolTaskRunner(max_workers=used)
    return _dask_runner(used)


def _dask_runner(workers: int) -> TaskRunner[Any]:
    """Return a runner on a Dask cluster of this machine: a process a worker, one task at a time."""
    from prefect_dask.task_runners import DaskTaskRunner

    logging.getLogger("distributed").setLevel(logging.ERROR)  # it tells of every worker's coming
    local = "127.0.0.1:0"  # Dask serves its health pages even where it has no dashboard
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
