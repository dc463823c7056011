"""Training requests that are sent to another machine."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prefect.client.schemas.objects import State, StateType

from flows.run import remote_training
from flows.run.request_file import read_request
from tasks import train
from tasks.run.portable import check_shared
from tasks.run.spec import RunSpec
from tasks.stage import Request
from tasks.store import Store
from tests.support.runs import run_plainly

Make = Callable[..., RunSpec]


class Notes:
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, line: str) -> None:
        self.lines.append(line)

    def progress(self, *_: Any) -> None: ...

    def interval(self) -> float:
        return 1.0


class Server:
    """Answers with one state after the other, then with the last."""

    def __init__(self, *states: State[Any] | Exception) -> None:
        self._next = list(states)

    def read_flow_run(self, _: Any) -> SimpleNamespace:
        state = self._next.pop(0) if len(self._next) > 1 else self._next[0]
        if isinstance(state, Exception):
            raise state
        return SimpleNamespace(state=state)


def training_request(spec: RunSpec) -> Request:
    """Return the request for training, the stages before it done."""
    (request,) = train.requests(spec, run_plainly(spec, until="tensors"))
    return request


def test_a_request_is_sent_as_a_file_of_which_only_the_name_travels(
    make_spec: Make, data: Path, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect refuses parameters of more than 512 KB: none may grow with the shards."""
    spec = make_spec(data, "run.train_on=gpu-pool", storage=place)
    request = training_request(spec)
    sent: dict[str, Any] = {}

    def run_deployment(name: str, parameters: dict[str, Any], timeout: float) -> SimpleNamespace:
        sent.update(parameters)
        return SimpleNamespace(id=uuid4())

    monkeypatch.setattr(remote_training, "run_deployment", run_deployment)
    monkeypatch.setattr(remote_training, "get_client", lambda **_: nullcontext())
    done = State(type=StateType.COMPLETED)
    monkeypatch.setattr(remote_training, "wait_until_final", lambda *_: done)
    remote_training.train_remotely(
        [request], spec.config.run, store=spec.store, run="r", force=False, reporter=Notes()
    )
    assert sent["request"] == f"requests/train-{request.key}.json"
    monkeypatch.setenv("SENTIMENT_CACHE", str(tmp_path / "of-the-worker"))
    there = Store.at(sent["storage"])
    found = read_request(there.here(sent["request"]))
    assert found.key == request.key
    check_shared(found, there)
    assert all(artifact.local(there.root).is_file() for artifact in found.artifacts)
    assert not [value for value in sent.values() if isinstance(value, list | dict)]


def test_the_wait_reports_states_and_a_missing_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_training, "POLL", 0)
    monkeypatch.setattr(remote_training, "PATIENCE", -1)
    late = State(type=StateType.SCHEDULED, name="Late")
    running, failed = State(type=StateType.RUNNING), State(type=StateType.FAILED, message="why")
    server: Any = Server(late, late, running, running, failed)
    notes = Notes()
    assert remote_training.wait_until_final(server, uuid4(), notes) is failed
    assert [line.split(": ")[-1] for line in notes.lines if "pool gpu:" in line] == [
        "Late",
        "Running",
        "Failed",
    ]
    assert sum("no worker" in line for line in notes.lines) == 2


def answer(status: int) -> httpx.HTTPStatusError:
    request = httpx.Request("GET", "http://127.0.0.1:9")
    response = httpx.Response(status, request=request)
    return httpx.HTTPStatusError("no", request=request, response=response)


def test_the_wait_outlives_the_servers_absence_and_no_refusal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remote_training, "POLL", 0)
    running, done = State(type=StateType.RUNNING), State(type=StateType.COMPLETED)
    gone = httpx.ConnectError("refused")
    server: Any = Server(running, gone, gone, answer(503), running, gone, done)
    notes = Notes()
    assert remote_training.wait_until_final(server, uuid4(), notes) is done
    assert sum("is not responding" in line for line in notes.lines) == 2
    refusing: Any = Server(running, answer(404))
    with pytest.raises(httpx.HTTPStatusError):
        remote_training.wait_until_final(refusing, uuid4(), notes)


def test_the_build_of_a_library_leaves_the_key_alone(
    make_spec: Make, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = []
    for version in ("2.13.0", "2.13.0+cpu", "2.14.0"):
        monkeypatch.setattr("tasks.stage.installed", lambda _, v=version: v)
        keys.append(training_request(make_spec(data)).key)
    assert keys[0] == keys[1] != keys[2]
