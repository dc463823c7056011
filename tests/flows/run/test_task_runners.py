"""Which runner a stage's tasks are spread over."""

from typing import Any
from unittest.mock import patch

import pytest

from flows.config.presets import load_config
from flows.run.task_runners import task_runner
from sentiment.errors import ConfigError
from tasks import ingest, tokenize
from tasks.run import config
from tasks.run.config import RunConfig


def chosen(jobs: int, stage: Any = tokenize.STAGE, **settings: Any) -> str:
    return type(task_runner(RunConfig(**settings), stage, jobs)).__name__


@pytest.mark.parametrize(
    ("runner", "expected"),
    [
        ("threads", "ThreadPoolTaskRunner"),
        ("processes", "ProcessPoolTaskRunner"),
        ("dask", "DaskTaskRunner"),
    ],
)
def test_processes_are_started_only_where_they_help(runner: str, expected: str) -> None:
    if runner == "dask":
        pytest.importorskip("prefect_dask")
    assert chosen(5, runner=runner, workers=2) == expected
    assert chosen(1, runner=runner, workers=2) == "ThreadPoolTaskRunner"
    assert chosen(5, runner=runner, workers=1) == "ThreadPoolTaskRunner"
    assert chosen(5, ingest.STAGE, runner=runner, workers=2) == "ThreadPoolTaskRunner"


def test_dask_has_a_worker_a_task_at_most_and_stays_on_this_machine() -> None:
    prefect_dask = pytest.importorskip("prefect_dask")
    runner = task_runner(RunConfig(runner="dask", workers=8), tokenize.STAGE, 3)
    assert isinstance(runner, prefect_dask.DaskTaskRunner)
    options = runner.cluster_kwargs
    assert (options["n_workers"], options["threads_per_worker"]) == (3, 1)
    assert (
        {options[name].split(":")[0] for name in options if name.endswith("address")}
        == {options["host"]}
        == {"127.0.0.1"}
    )


def test_dask_that_is_not_installed_is_an_error_with_the_extra() -> None:
    with (
        patch.object(config, "find_spec", return_value=None),
        pytest.raises(ConfigError, match=r"run\.runner: Dask is not installed.*'\.\[dask\]'"),
    ):
        load_config("sample", ["run.runner=dask"])
