"""What the tasks of a mapped stage are spread over."""

import os
from typing import Any

from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner, ThreadPoolTaskRunner

from flows.config import RunConfig
from tasks.stage import Stage


def task_runner(config: RunConfig, stage: Stage, jobs: int) -> TaskRunner[Any]:
    """Return the runner for a stage with this many tasks to compute (the others are cached).

    Worker processes take seconds to start: only a stage that is bound by Python, with at least two
    tasks to compute, pays for them.
    """
    workers = config.workers or os.cpu_count() or 1
    if config.runner == "threads" or not stage.python_bound or min(jobs, workers) < 2:
        return ThreadPoolTaskRunner(max_workers=workers)
    return ProcessPoolTaskRunner(max_workers=min(jobs, workers))
