"""Which failures a task is tried again after, and how one ends that is stopped."""

import errno
import logging
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import StateType
from prefect.exceptions import TerminationSignal
from prefect.runtime import flow_run
from prefect.states import Failed
from prefect.task_runners import ThreadPoolTaskRunner

from sentiment.data.archives import read_blocks
from sentiment.errors import DataError, SentimentError, StageError, StorageError
from tasks.run.prefect_task import RECORDS, TaskInput, is_transient, run_requests
from tasks.stage import Request, Stage
from tasks.store import Store
from tasks.store.atomic import writing_to
from tests.support import failing


def wrapped(number: int) -> SentimentError:
    with pytest.raises(StorageError) as caught, writing_to(Path("folder")):
        raise OSError(number, "why")
    return caught.value


def unread(number: int) -> SentimentError:
    def fail(*_: object) -> None:
        raise OSError(number, "why")

    with (
        pytest.raises(DataError, match="cannot be read") as caught,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr("sentiment.data.archives._chunks", fail)
        list(read_blocks(Path(__file__)))
    return caught.value


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (OSError(errno.EIO, "input/output error"), True),
        (TimeoutError(errno.ETIMEDOUT, "timed out"), True),
        (wrapped(errno.ESTALE), True),
        (wrapped(errno.ENOSPC), False),
        (OSError(errno.ENOSPC, "no space left"), False),
        (PermissionError(errno.EACCES, "permission denied"), False),
        (FileNotFoundError(errno.ENOENT, "no such file"), False),
        (DataError("wrong"), False),
        (unread(errno.EIO), True),
        (unread(errno.EACCES), False),
        (ValueError("wrong"), False),
    ],
)
def test_only_transient_errors_are_retried(error: Exception, transient: bool) -> None:
    assert is_transient(None, None, Failed(data=error)) is transient


def test_a_stage_that_cannot_read_blames_no_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = FileNotFoundError(errno.ENOENT, "No such file or directory", "reviews/gone.bz2")
    monkeypatch.setattr(failing, "failures", [gone])
    monkeypatch.setattr(failing, "calls", 0)
    monkeypatch.setattr("tasks.stage.read_code", lambda _function: {})
    request = Request(Stage("failing", "tests.support.failing:work", reads=()), "all", {})
    with pytest.raises(StageError, match=r"^reviews/gone.bz2: No such file or directory\.$"):
        Store(tmp_path).build(request)


@pytest.mark.usefixtures("prefect_server")
def test_a_cached_task_gives_what_the_store_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect's record may be of an earlier result, or changed."""
    monkeypatch.setattr(failing, "failures", [])
    monkeypatch.setattr(failing, "calls", 0)
    monkeypatch.setattr("tasks.stage.read_code", lambda _function: {})
    stage = Stage("failing", "tests.support.failing:work", reads=())
    request = Request(stage, "all", {})

    @flow
    def run() -> list[Any]:
        return run_requests(
            stage, [request], store=Store(tmp_path), runner=ThreadPoolTaskRunner(), run="r"
        )

    first = run()
    (record,) = (tmp_path / RECORDS).iterdir()
    record.write_text(record.read_text().replace(request.key, "0" * 16))
    assert run() == first
    assert failing.calls == 1


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize(("number", "calls"), [(errno.EIO, 3), (errno.ENOSPC, 1)])
def test_a_task_is_tried_again(
    number: int, calls: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failing, "failures", [OSError(number, "why")] * 2)
    monkeypatch.setattr(failing, "calls", 0)
    monkeypatch.setattr("tasks.stage.read_code", lambda _function: {})  # no code of the project
    stage = Stage("failing", "tests.support.failing:work", reads=())
    request = Request(stage, "all", {})

    @flow
    def run() -> list[Any]:
        return run_requests(
            stage, [request], store=Store(tmp_path), runner=ThreadPoolTaskRunner(), run="r",
            retries=2,
        )  # fmt: skip

    if calls == 3:
        assert run()[0].stats == {"calls": 3}
    else:
        with pytest.raises(StorageError, match="cannot be written"):
            run()
    assert failing.calls == calls


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize(
    "stop", [KeyboardInterrupt(), TerminationSignal(signal.SIGTERM)], ids=["SIGINT", "SIGTERM"]
)
def test_a_task_that_is_stopped_is_cancelled_and_stops_its_flow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: BaseException
) -> None:
    monkeypatch.setattr("tasks.stage.read_code", lambda _function: {})
    stage = Stage("failing", "tests.support.failing:work", reads=())
    requests = [Request(stage, label, {}) for label in ("first", "second")]
    runs: list[Any] = []
    begun: list[str] = []

    def does(work: TaskInput) -> str:
        begun.append(work.request.label)
        raise stop

    @flow
    def run() -> str:
        runs.append(flow_run.id)
        with pytest.raises(type(stop)) as raised:
            run_requests(
                stage, requests, store=Store(tmp_path), runner=ThreadPoolTaskRunner(), run="r",
                does=does,
            )  # fmt: skip
        assert raised.value is stop
        return "ended"

    assert run() == "ended"
    assert begun == ["first"]
    one = FlowRunFilter(id=FlowRunFilterId(any_=runs))
    with get_client(sync_client=True) as client:
        for _ in range(600):  # a task's states are recorded a little later
            states = [task.state_type for task in client.read_task_runs(flow_run_filter=one)]
            if states == [StateType.CANCELLED]:
                break
            time.sleep(0.1)
    assert states == [StateType.CANCELLED]


@pytest.mark.parametrize(
    ("logger", "line", "kept"),
    [
        ("task_runs", "Finished in state Cached(type=COMPLETED)", False),
        ("task_runs", "Finished in state Completed()", False),
        ("task_runs", "Finished in state Failed('no')", True),
        ("task_runs", "Finished in state Cancelled('Stopped.')", False),
        ("task_runs", "Created task run", True),
        ("flow_runs", "Finished in state Running()", False),
        ("flow_runs", "Finished in state Completed()", True),
        ("flow_runs", "train      cached: nothing changed", True),
    ],
)
def test_lines_that_name_nothing_are_not_logged(logger: str, line: str, kept: bool) -> None:
    log = logging.getLogger(f"prefect.{logger}")
    record = log.makeRecord(log.name, logging.INFO, __file__, 1, line, (), None)
    assert bool(log.filter(record)) is kept
