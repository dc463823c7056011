"""What a Prefect server needs: work pools, deployments, and when a run counts as dead."""

import subprocess
import sys
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import httpx
import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.events import Event, Resource
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectAlreadyExists

from flows.server.processes import DEPLOYMENTS, ROOT, Note
from sentiment.errors import ServiceError

POOLS = ("cpu", "gpu")
SILENCE = timedelta(seconds=90)  # three heartbeats
HEARTBEAT = "prefect.flow-run.heartbeat"
DEAD_RUNS = AutomationCore(
    name="Mark dead runs as crashed",
    description="A flow run that has not ended, but whose process has stopped sending heartbeats.",
    trigger=EventTrigger(
        after={HEARTBEAT},
        expect={
            HEARTBEAT,
            "prefect.flow-run.Completed",
            "prefect.flow-run.Failed",
            "prefect.flow-run.Cancelled",
            "prefect.flow-run.Crashed",
        },
        match={"prefect.resource.id": "prefect.flow-run.*"},
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=SILENCE,
    ),
    actions=[ChangeFlowRunState(state=StateType.CRASHED, message="No heartbeat for 90 seconds.")],
)


def deploy(env: Mapping[str, str], note: Note) -> None:
    """Create the work pools, the deployments of prefect.yaml and the automation on a server.

    Any of them may exist already; schedules stay as active or inactive as they are on the server.
    ``env`` holds the server's address and credentials. Raises ServiceError if the server is
    unreachable, rejects the credentials, or the deployment fails.
    """
    with server_of(env) as client:
        for pool in POOLS:
            with suppress(ObjectAlreadyExists):
                client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
        # Never updated: it would forget the runs whose heartbeats it waits for.
        if not client.read_automations_by_name(DEAD_RUNS.name):
            client.create_automation(DEAD_RUNS)
        switches = schedules_of(client)
        deploy_all(env)
        for place, (schedule, _) in schedules_of(client).items():
            if place in switches and switches[place][1] != schedule.active:
                client.update_deployment_schedule(place[0], schedule.id, active=switches[place][1])
        deployed = {deployment.name: deployment.id for deployment in deployments(client)}
        watch_running(client)
    listed = names()
    if missing := set(listed) - deployed.keys():
        raise ServiceError(
            f"Prefect did not deploy {', '.join(sorted(missing))}: see prefect.yaml."
        )
    note(f"deployed   {len(listed)} deployments, to the pools {' and '.join(POOLS)}")
    ui = env["PREFECT_API_URL"].removesuffix("/api")
    note(f"pipeline   {ui}/deployments/deployment/{deployed['pipeline']}")


def switch_pool(client: SyncPrefectClient, pool: str, own_worker: str, *, on: bool) -> bool:
    """Pause a pool that nothing works for, which Prefect would show as broken; return if it is.

    ``on`` says that ``own_worker`` is to work for it: a paused pool is resumed. One with workers of
    another name, which may be away for the moment, is not paused.
    """
    paused = client.read_work_pool(pool).is_paused
    others = any(worker.name != own_worker for worker in client.read_workers_for_work_pool(pool))
    wanted = False if on else paused or not others
    if wanted != paused:
        client.update_work_pool(pool, WorkPoolUpdate(is_paused=wanted))
    return wanted


@contextmanager
def server_of(env: Mapping[str, str]) -> Iterator[SyncPrefectClient]:
    """Yield a client of the server; turn its failures into ServiceError."""
    url = env["PREFECT_API_URL"]
    try:
        with SyncPrefectClient(url, auth_string=env.get("PREFECT_API_AUTH_STRING")) as client:
            yield client
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        hint = ": set PREFECT_API_AUTH_STRING to its USER:PASSWORD." if status == 401 else "."
        raise ServiceError(f"The server {url} answers with status {status}{hint}") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ServiceError(
            f"The server {url} does not answer ({error}). Check PREFECT_API_URL."
        ) from error


def watch_running(client: SyncPrefectClient) -> None:
    """Send a heartbeat on behalf of each run that the server takes for running.

    No automation waits for a run that died together with the server, or while the server was down;
    after this heartbeat it is missed like any other. Only for runs that have sent one themselves:
    others, such as those from a terminal, send none even while alive.
    """
    for run in runs_in(client, StateType.RUNNING, StateType.CANCELLING):
        resource = f"prefect.flow-run.{run.id}"
        asked = {"event": {"name": [HEARTBEAT]}, "resource": {"id": [resource]}}
        sent = client.request("POST", "/events/filter", json={"filter": asked, "limit": 1})
        if sent.raise_for_status().json()["events"]:
            event = Event(event=HEARTBEAT, resource=Resource({"prefect.resource.id": resource}))
            client.request("POST", "/events", json=[event.model_dump(mode="json")])


def end_runs(
    client: SyncPrefectClient, workers: Set[str], at_work: Set[str | None], because: str
) -> list[str]:
    """End the runs that workers of these names started, but for those in ``at_work``, by id.

    They end as crashed, or as cancelled if that was under way: either gives their place under the
    deployment's limit to the next run. Return their names.
    """
    ended = []
    for run in runs_in(client, StateType.PENDING, StateType.RUNNING, StateType.CANCELLING):
        if run.labels.get("prefect.worker.name") in workers and str(run.id) not in at_work:
            cancelled = run.state_type == StateType.CANCELLING
            state = StateType.CANCELLED if cancelled else StateType.CRASHED
            client.set_flow_run_state(run.id, State(type=state, message=because))
            ended.append(run.name)
    return ended


def runs_in(client: SyncPrefectClient, *states: StateType) -> list[FlowRun]:
    asked = FlowRunFilterState(type=FlowRunFilterStateType(any_=[*states]))
    return client.read_flow_runs(flow_run_filter=FlowRunFilter(state=asked))


def names() -> list[str]:
    """Return the names of the deployments in prefect.yaml."""
    content = yaml.safe_load(DEPLOYMENTS.read_text(encoding="utf-8"))
    return [entry["name"] for entry in content["deployments"]]


def deployments(client: SyncPrefectClient) -> list[DeploymentResponse]:
    """Return the deployments of prefect.yaml that the server has."""
    return client.read_deployments(
        deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=names()))
    )


def schedules_of(client: SyncPrefectClient) -> dict[tuple[Any, str | None], tuple[Any, bool]]:
    """Return every schedule and whether it is active, by deployment id and slug."""
    return {
        (deployment.id, schedule.slug): (schedule, schedule.active)
        for deployment in deployments(client)
        for schedule in deployment.schedules
    }


def deploy_all(env: Mapping[str, str]) -> None:
    """Run `prefect deploy --all`. Raises ServiceError with its output if it fails."""
    command = ["-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file"]
    done = subprocess.run(
        [sys.executable, *command, str(DEPLOYMENTS)],
        cwd=ROOT,
        env=dict(env),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise ServiceError(f"`prefect deploy --all` failed:\n{done.stdout}{done.stderr}")
