"""A server and workers started by ``sentiment up``, and what tests ask of them."""

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterId,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.client.schemas.objects import FlowRun, State, StateType

from flows.server import local, processes
from tests.support.runs import TINY
from tests.support.servers import run_sentiment

PATIENCE = 300  # seconds: far more than anything here takes


def until(
    what: str, found: Callable[[], Any], patience: float = PATIENCE, every: float = 0.5
) -> Any:
    """Poll every so many seconds until there is an answer; return it."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if answer := found():
            return answer
        time.sleep(every)
    raise AssertionError(f"{what}: not seen in {patience} s")


class Service:
    """What ``sentiment up`` has started, with a storage folder and small data of its own."""

    def __init__(self, folder: Path, data: Path, port: int, **env: str) -> None:
        self.folder, self.data, self.port = folder, data, port
        self.storage = folder / "storage"
        self.url = local.api_url(port)
        self._env = env

    @cached_property
    def secret(self) -> str:
        """The server's password: the one given, or the one made by the first ``up``."""
        given = self._env.get("PREFECT_SERVER_API_AUTH_STRING")
        return given or (self.folder / "password").read_text().strip()

    @cached_property
    def client(self) -> SyncPrefectClient:
        return SyncPrefectClient(self.url, auth_string=self.secret)

    def up(self) -> None:
        process = run_sentiment(
            "up", "--port", str(self.port), "--gpu",
            "--folder", str(self.folder), "--storage", str(self.storage), **self._env,
        )  # fmt: skip
        assert process.returncode == 0, process.stdout + process.stderr

    def down(self) -> None:
        process = run_sentiment("down", "--folder", str(self.folder), **self._env)
        assert process.returncode == 0, process.stderr
        assert processes.ours(self.folder) == []

    def parameters(self, *overrides: str) -> dict[str, Any]:
        return {"preset": "sample", "data": str(self.data), "overrides": [*TINY, *overrides]}

    def start(self, name: str, *overrides: str) -> UUID:
        """Start a run of the deployment ``name/name`` and return its id."""
        flow = name.removesuffix("-gpu")
        deployment = self.client.read_deployment_by_name(f"{flow}/{name}")
        run = self.client.create_flow_run_from_deployment(
            deployment.id, parameters=self.parameters(*overrides)
        )
        return run.id

    def cancel(self, run: UUID) -> None:
        """Cancel a run as the UI does."""
        self.client.set_flow_run_state(run, State(type=StateType.CANCELLING))

    def cancel_by_command(self, run: UUID) -> None:
        """Cancel a run in a terminal."""
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "flow-run", "cancel", str(run)],
            env=local.environment(self.folder, self.storage, self.port)
            | {"PREFECT_API_AUTH_STRING": self.secret},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def wait(self, run: UUID, *states: str) -> FlowRun:
        """Wait until a run has ended, or is in one of the states."""

        def reached() -> FlowRun | None:
            found = self.client.read_flow_run(run)
            assert found.state
            return found if found.state.name in states or found.state.is_final() else None

        found: FlowRun = until(f"run {run} in state {states or 'final'}", reached)
        assert found.state
        assert not states or found.state.name in states, f"{found.state}\n{self.logs(run)}"
        return found

    def has_ended(self, run: UUID) -> bool:
        state = self.client.read_flow_run(run).state
        return state is not None and state.is_final()

    def tasks(self, run: UUID) -> dict[str, set[str]]:
        """Return the states in which a run's tasks ended, by stage."""
        found: dict[str, set[str]] = {}
        one = FlowRunFilter(id=FlowRunFilterId(any_=[run]))
        for task in self.client.read_task_runs(flow_run_filter=one):
            assert task.state
            found.setdefault(task.name.split()[0], set()).add(task.state.name or "")
        return found

    def has_tasks(self, run: UUID, expected: dict[str, set[str]]) -> None:
        """Check a run's tasks; their states are recorded a little after the run's own."""
        with suppress(AssertionError):
            until("its tasks", lambda: self.tasks(run) == expected, patience=30)
        assert self.tasks(run) == expected, self.logs(run)

    def logs(self, run: UUID) -> str:
        mine = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run]))
        return "\n".join(entry.message for entry in self.client.read_logs(mine))

    def artifacts(self, run: UUID) -> set[str | None]:
        """Return the keys of the artifacts that a run published."""
        mine = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
        return {artifact.key for artifact in self.client.read_artifacts(artifact_filter=mine)}

    def processes_of(self, run: UUID) -> list[psutil.Process]:
        """Return the processes at work on a run."""
        found = []
        for process in processes.ours(self.folder):
            with suppress(psutil.NoSuchProcess):  # it has just ended
                if process.environ().get("PREFECT__FLOW_RUN_ID") == str(run):
                    found.append(process)
        return found

    def kill(self) -> None:
        """Kill all processes, as when the machine stops."""
        self._kill(processes.ours(self.folder))
        assert processes.ours(self.folder) == []

    def kill_server(self) -> None:
        """Kill the server alone."""
        (server,) = filter(local.is_server, processes.ours(self.folder))
        self._kill([server, *server.children(recursive=True)])

    def _kill(self, found: list[psutil.Process]) -> None:
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(found)
