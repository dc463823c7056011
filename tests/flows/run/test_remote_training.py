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
from sentiment.errors import StageError
from tasks import train
from tasks.run.portable import check_shared
from tasks.run.spec import RunSpec
from tasks.stage import Request
from tasks.store import Store
from tests.support.notes import Notes
from tests.support.runs import run_plainly

Make = Callable[..., RunSpec]


class Server:
    """Answers with one state after the other, then with the last."""

    def __init__(self, *states: State[Any] | Exception) -> None:
        self._next = list(states)

    def read_flow_run(self, _: Any) -> SimpleNamespace:
        state = self._next.pop(0) if len(self._next) > 1 else self._next[0]
        if isinstance(state, Exception):
            raise state
        return SimpleNamespace(state=state)


SCHEDULED, RUNNING = State(type=StateType.SCHEDULED), State(type=StateType.RUNNING)
COMPLETED = State(type=StateType.COMPLETED)
CANCELLING, CANCELLED = State(type=StateType.CANCELLING), State(type=StateType.CANCELLED)
FAILED = State(type=StateType.FAILED, message="No GPU here.")
CRASHED = State(type=StateType.CRASHED, message="Exited with status -9.")


class Prefect:
    """Keeps flow runs by their idempotency keys; each goes through the next of these states."""

    def __init__(self, *states: list[State[Any]]) -> None:
        self._states = list(states)
        self.runs: list[SimpleNamespace] = []
        self.asked_first = True

    def used(self, monkeypatch: pytest.MonkeyPatch) -> "Prefect":
        monkeypatch.setattr(remote_training, "POLL", 0)
        monkeypatch.setattr(remote_training, "run_deployment", self.run_deployment)
        monkeypatch.setattr(remote_training, "get_client", lambda **_: nullcontext(self))
        return self

    def run_deployment(
        self, name: str, *, parameters: dict[str, Any], timeout: float, idempotency_key: str
    ) -> SimpleNamespace:
        for known in self._with(idempotency_key):
            return known
        first, *rest = self._states.pop(0)
        made = SimpleNamespace(
            id=uuid4(), key=idempotency_key, parameters=parameters, state=first, next=rest
        )
        self.runs.append(made)
        return made

    def read_flow_runs(self, flow_run_filter: Any) -> list[SimpleNamespace]:
        (key,) = flow_run_filter.idempotency_key.any_
        return self._with(key) if self.asked_first else []

    def read_flow_run(self, wanted: Any) -> SimpleNamespace:
        (found,) = [run for run in self.runs if run.id == wanted]
        if found.next:
            found.state = found.next.pop(0)
        if found.state is STOP:
            raise KeyboardInterrupt
        return found

    def set_flow_run_state(self, wanted: Any, state: State[Any]) -> None:
        (found,) = [run for run in self.runs if run.id == wanted]
        found.state = state

    def _with(self, key: str) -> list[SimpleNamespace]:
        return [run for run in self.runs if run.key == key]


STOP: Any = object()  # the run that waits is stopped


def send(spec: RunSpec, request: Request, *, run: str, force: bool = False) -> list[str]:
    """Train remotely for a run; return its notes."""
    notes = Notes()
    remote_training.train_remotely(
        [request], spec.config.run, store=spec.store, run=run, force=force, reporter=notes
    )
    return notes.lines


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
    prefect = Prefect([SCHEDULED, COMPLETED]).used(monkeypatch)
    send(spec, request, run="r")
    (sent,) = [flow_run.parameters for flow_run in prefect.runs]
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


@pytest.fixture
def spec(make_spec: Make, data: Path) -> RunSpec:
    return make_spec(data, "run.train_on=gpu-pool", "run.retries=2", "run.retry_delay=0")


@pytest.fixture
def asked(spec: RunSpec, monkeypatch: pytest.MonkeyPatch) -> Request:
    """A training request without inputs."""
    settings = {name: getattr(spec.config, name) for name in ("train", "tensors", "tokenize")}
    return Request(train.STAGE, "model", {}, settings)


def test_what_crashes_is_sent_again_and_what_fails_is_not(
    spec: RunSpec, asked: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = [SCHEDULED, RUNNING, CRASHED], [RUNNING, CRASHED], [RUNNING, COMPLETED]
    prefect = Prefect(*states).used(monkeypatch)
    notes = send(spec, asked, run="a")
    assert len({run.key for run in prefect.runs}) == 3
    again = [line for line in notes if "Exited with status -9. Sending it again" in line]
    assert [line.partition("(")[2][:6] for line in again] == ["1 of 2", "2 of 2"]
    Prefect([RUNNING, FAILED]).used(monkeypatch)
    with pytest.raises(StageError, match=r"ended as Failed: No GPU here\.$"):
        send(spec, asked, run="b")


def test_what_crashes_too_often_is_an_error_that_says_what_to_do(
    spec: RunSpec, asked: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefect = Prefect(*([RUNNING, CRASHED] for _ in range(4))).used(monkeypatch)
    with pytest.raises(StageError, match=r"Crashed: Exited .* -9\. .*same command again: training"):
        send(spec, asked, run="a")
    assert len(prefect.runs) == 3


@pytest.mark.parametrize("asked_first", [True, False])
def test_two_runs_share_one_training(
    spec: RunSpec, asked: Request, monkeypatch: pytest.MonkeyPatch, asked_first: bool
) -> None:
    """Also if the second one asks before it is there, and sends it at the same moment."""
    prefect = Prefect([RUNNING, RUNNING, STOP, STOP, COMPLETED]).used(monkeypatch)
    prefect.asked_first = asked_first
    monkeypatch.setattr(prefect, "set_flow_run_state", lambda *_: None)  # killed, not stopped
    with pytest.raises(KeyboardInterrupt):
        send(spec, asked, run="a")
    prefect.runs[0].state = RUNNING
    with pytest.raises(KeyboardInterrupt):
        send(spec, asked, run="b")
    prefect.runs[0].state = RUNNING
    notes = send(spec, asked, run="c")
    assert "another run has sent it" in notes[0]
    assert [run.parameters["run"] for run in prefect.runs] == ["a"]


def test_a_stopped_run_cancels_only_what_it_sent(
    spec: RunSpec, asked: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefect = Prefect([RUNNING, STOP]).used(monkeypatch)
    for run, cancelled in (("a", True), ("b", False), ("a", True)):
        for known in prefect.runs:
            known.state, known.next = RUNNING, [STOP]
        with pytest.raises(KeyboardInterrupt):
            send(spec, asked, run=run)
        (sent,) = prefect.runs
        assert (sent.state is not STOP and sent.state.is_cancelling()) == cancelled


@pytest.mark.parametrize("end", [COMPLETED, FAILED, CRASHED, CANCELLED, CANCELLING])
def test_one_that_had_ended_before_is_not_waited_for(
    spec: RunSpec, asked: Request, monkeypatch: pytest.MonkeyPatch, end: State[Any]
) -> None:
    prefect = Prefect([RUNNING, COMPLETED], [RUNNING, COMPLETED]).used(monkeypatch)
    send(spec, asked, run="a")
    prefect.runs[0].state = end
    notes = send(spec, asked, run="b")
    assert [run.parameters["run"] for run in prefect.runs] == ["a", "b"]
    assert not [line for line in notes if "another run" in line]


def test_one_that_its_run_cancels_is_sent_again_by_the_run_that_shares_it(
    spec: RunSpec, asked: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefect = Prefect([RUNNING, STOP, RUNNING, CANCELLING, CANCELLED], [RUNNING, COMPLETED])
    prefect.used(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        send(spec, asked, run="a")
    prefect.runs[0].state = RUNNING  # the request to cancel is under way
    notes = send(spec, asked, run="b")
    assert "train      the run that sent it was stopped: sending it again" in notes
    assert [run.parameters["run"] for run in prefect.runs] == ["a", "b"]
    prefect = Prefect([RUNNING, CANCELLED]).used(monkeypatch)
    with pytest.raises(StageError, match="ended as Cancelled"):  # by somebody in the UI
        send(spec, asked, run="a")


def test_forced_trainings_are_not_shared(
    spec: RunSpec, asked: Request, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    prefect = Prefect(*([RUNNING, COMPLETED] for _ in range(4))).used(monkeypatch)
    elsewhere = RunSpec(spec.preset, spec.config, spec.data, Store(tmp_path / "elsewhere"))
    for one, run, force in ((spec, "a", False), (spec, "a", True), (spec, "b", True),
                            (elsewhere, "a", False)):  # fmt: skip
        send(one, asked, run=run, force=force)
        prefect.runs[-1].state = RUNNING
        prefect.runs[-1].next = [COMPLETED]
    assert len({run.key for run in prefect.runs}) == 4


def test_a_worker_with_another_storage_says_so(place: str) -> None:
    with pytest.raises(
        StageError, match=r"none\.json: not there\. This worker .* need the same storage"
    ):
        remote_training.train_request.fn("requests/none.json", place, "r")
