"""What a stage's requests are run by."""

from typing import Any
from unittest.mock import patch

import pytest

from flows.config.presets import load_config
from flows.run.task_runners import kind_of_runner, task_runner
from sentiment.errors import ConfigError
from tasks import ingest, tokenize, train
from tasks.run import config
from tasks.run.config import RunConfig

CLUSTER = "dask://scheduler.internal:8786"


def chosen(missing: int, stage: Any = tokenize.STAGE, **settings: Any) -> str:
    return kind_of_runner(RunConfig(**settings), stage, missing)


@pytest.mark.parametrize("runner", ["threads", "processes", "dask"])
def test_processes_are_started_only_where_they_help(runner: str) -> None:
    assert chosen(5, runner=runner, workers=2) == runner
    assert chosen(1, runner=runner, workers=2) == "threads"
    assert chosen(5, runner=runner, workers=1) == "threads"
    assert chosen(5, ingest.STAGE, runner=runner, workers=2) == "threads"


def test_a_cluster_runs_all_mapped_stages() -> None:
    assert chosen(1, runner=CLUSTER, workers=1) == "dask"
    assert chosen(1, ingest.STAGE, runner=CLUSTER) == "dask"
    assert chosen(1, train.STAGE, runner=CLUSTER) == "threads"


def test_runners_of_prefect_have_a_worker_a_task_at_most() -> None:
    def name(**settings: Any) -> str:
        return type(task_runner(RunConfig(**settings), tokenize.STAGE, 3)).__name__

    assert name(runner="threads") == "ThreadPoolTaskRunner"
    assert name(runner="processes", workers=2) == "ProcessPoolTaskRunner"


@pytest.mark.parametrize(
    ("runner", "address"),
    [
        ("dask", None),
        ("threads", None),
        (CLUSTER, "tcp://scheduler.internal:8786"),
        ("dasks://10.0.0.1:1", "tls://10.0.0.1:1"),
    ],
)
def test_a_cluster_has_the_address_that_dask_knows(runner: str, address: str | None) -> None:
    assert RunConfig(runner=runner).cluster == address


@pytest.mark.parametrize(
    "runner", ["dask://", "dask://host", "tcp://host:1", "dask://user:word@host:1", "dusk"]
)
def test_what_is_no_runner_is_refused(runner: str) -> None:
    with pytest.raises(ConfigError, match=r"run\.runner"):
        load_config("sample", [f"run.runner={runner}"])


@pytest.mark.parametrize("runner", ["dask", CLUSTER])
def test_dask_that_is_not_installed_is_an_error_with_the_extra(runner: str) -> None:
    with (
        patch.object(config, "find_spec", return_value=None),
        pytest.raises(ConfigError, match=r"run\.runner: Dask is not installed.*'\.\[dask\]'"),
    ):
        load_config("sample", [f"run.runner={runner}"])
