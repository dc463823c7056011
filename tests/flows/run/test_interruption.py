"""Ctrl-C on a run of a terminal, as Prefect and the run's record show it."""

import io
import json
import signal
import time
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.runtime import flow_run
from rich.console import Console

from flows.pipeline import pipeline, tokenize
from flows.run.interruption import interruptible
from flows.ui.reporters import LineReporter, chosen
from sentiment.errors import SentimentError
from tests.support.runs import TINY


class Interrupted(LineReporter):
    """Interrupts or fails the run when a stage is about to work."""

    def __init__(self, stage: str, error: BaseException) -> None:
        super().__init__(Console(file=io.StringIO()))
        self.stage, self.error = stage, error

    def note(self, line: str) -> None:
        super().note(line)
        if line.startswith(f"{self.stage} ") and "to run" in line:
            raise self.error


def end_of_run(
    storage: Path, data: Path, error: BaseException, *, stage: bool = False
) -> tuple[StateType | None, str]:
    """Return the states of a run that ends with an error: in Prefect, and in its record."""
    before = chosen.set(Interrupted("tokenize", error))
    run = tokenize if stage else pipeline
    try:
        with pytest.raises(type(error)), interruptible():
            run(preset="sample", data=str(data), storage=str(storage), overrides=[*TINY])
    finally:
        chosen.reset(before)
    with get_client(sync_client=True) as client:
        (last,) = client.read_flow_runs(sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=1)
    record = max(storage.glob("runs/*/run.json"))
    return last.state_type, json.loads(record.read_bytes())["state"]


@pytest.mark.usefixtures("prefect_server")
def test_an_interrupted_run_is_cancelled_and_a_failed_one_failed(
    tmp_path: Path, data: Path
) -> None:
    storage = tmp_path / "storage"
    stopped = end_of_run(storage, data, KeyboardInterrupt())
    assert stopped == (StateType.CANCELLED, "cancelled")
    failed = end_of_run(storage, data, SentimentError("no"))
    assert failed == (StateType.FAILED, "failed")
    stopped = end_of_run(storage, data, KeyboardInterrupt(), stage=True)
    assert stopped == (StateType.CANCELLED, "cancelled")


@pytest.mark.usefixtures("prefect_server")
def test_a_run_of_a_terminal_that_is_cancelled_in_the_ui_stops(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Cancels(Interrupted):
        """Cancels the run as the UI does, and keeps working."""

        def note(self, line: str) -> None:
            if line.startswith("tokenize ") and "to run" in line:
                with get_client(sync_client=True) as client:
                    client.set_flow_run_state(flow_run.id, State(type=StateType.CANCELLING))
                time.sleep(120)
            super().note(line)

    monkeypatch.setattr("flows.run.interruption.ASK_EVERY", 0.1)
    monkeypatch.setattr("tests.flows.run.test_interruption.Interrupted", Cancels)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        stopped = end_of_run(tmp_path / "storage", data, KeyboardInterrupt())
    finally:
        signal.signal(signal.SIGINT, before)
    assert stopped == (StateType.CANCELLED, "cancelled")
