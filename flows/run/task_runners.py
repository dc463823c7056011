"""What runs a stage's requests: threads, processes or Dask."""

from typing import Any, Literal

from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner, ThreadPoolTaskRunner

from tasks.run.config import RunConfig
from tasks.stage import Stage
from tasks.store.machine import cores


def kind_of_runner(
    config: RunConfig, stage: Stage, missing: int
) -> Literal["threads", "processes", "dask"]:
    """Return what runs a stage with this many requests to compute; the others are cached.

    A cluster runs all mapped stages. Processes on this machine take seconds to start, so they run
    only a Python-bound stage with at least two requests.
    """
    if config.cluster is not None and stage.mapped:
        return "dask"
    if config.runner == "threads" or not stage.python_bound or _used(config, missing) < 2:
        return "threads"
    return "dask" if config.runner == "dask" else "processes"


def task_runner(config: RunConfig, stage: Stage, missing: int) -> TaskRunner[Any]:
    """Return the Prefect runner of a stage that does not run on Dask."""
    if kind_of_runner(config, stage, missing) == "processes":
        return ProcessPoolTaskRunner(max_workers=_used(config, missing))
    return ThreadPoolTaskRunner(max_workers=config.workers or cores())


def _used(config: RunConfig, missing: int) -> int:
    return min(missing, config.workers or cores())
