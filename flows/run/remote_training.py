"""Training on another machine: a run sends its request to a worker of the pool ``gpu``.

The request is a file in the storage: a URL, or a folder that both machines share at the same path.
Prefect carries only its name, since its parameters have a limit (512 KB) that long lists of shards
exceed. The run then finds the result in the store.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any
from uuid import UUID

import httpx
from prefect import flow, get_run_logger
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import State, StateType
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field

from flows.run.request_file import read_request, write_request
from flows.ui.reporters import LogReporter, Reporter, Running, watch
from sentiment.errors import StageError
from tasks import train
from tasks.run.config import RunConfig
from tasks.run.portable import check_shared
from tasks.run.prefect_task import run_requests
from tasks.run.progress import progress_path
from tasks.stage import Request
from tasks.store import Store

DEPLOYMENT = "train-request/train-request"
POLL = 2.0  # seconds between looks at the other run
PATIENCE = 60.0  # seconds without a worker before the log says so, and again


@flow(name="train-request", description="Training for a run on another machine.")
def train_request(
    request: Annotated[str, Field(description="File of the training request in the storage.")],
    storage: Annotated[str, Field(description="Storage folder or URL, shared with that run.")],
    run: Annotated[str, Field(description="Id of that run.")],
    force: Annotated[bool, Field(description="Train even if the result is cached.")] = False,
    retries: Annotated[int, Field(description="As run.retries of that run.", ge=0)] = 0,
    retry_delay: Annotated[float, Field(description="As its run.retry_delay.", ge=0)] = 0,
) -> str:
    """Compute a training request in the shared storage; return its key."""
    store = Store.at(storage)
    wanted = read_request(store.here(request))
    check_shared(wanted, store)
    running = Running("train", [progress_path(store.root, run, wanted)], None, time.monotonic())
    with watch(LogReporter(get_run_logger()), running):
        run_requests(
            train.STAGE,
            [wanted],
            store=store,
            runner=ThreadPoolTaskRunner(),
            run=run,
            force=force,
            retries=retries,
            retry_delay=retry_delay,
        )
    return wanted.key


def train_remotely(
    requests: Sequence[Request],
    config: RunConfig,
    *,
    store: Store,
    run: str,
    force: bool,
    reporter: Reporter,
) -> None:
    """Send the training request to a worker of the pool ``gpu`` and wait for the result.

    Stopping this run cancels the other one. Raises StageError if training fails there.
    """
    (request,) = requests
    file = request.file(store.root)
    write_request(request, file)
    name = file.relative_to(store.root).as_posix()
    store.share(name)
    try:
        sent: Any = run_deployment(
            DEPLOYMENT,
            parameters={
                "request": name,
                "storage": store.place(),
                "run": run,
                "force": force,
                "retries": config.retries,
                "retry_delay": config.retry_delay,
            },
            timeout=0,
        )
    except ObjectNotFound:
        raise StageError(
            f"run.train_on is gpu-pool, but this Prefect server has no deployment {DEPLOYMENT}. "
            "Set PREFECT_API_URL to the server of `sentiment up`, or run `prefect deploy --all`."
        ) from None
    with get_client(sync_client=True) as client:
        try:
            state = wait_until_final(client, sent.id, reporter)
        except BaseException:  # cancelling raises an exception not derived from Exception
            with suppress(httpx.HTTPError):
                client.set_flow_run_state(sent.id, State(type=StateType.CANCELLING))
            raise
    if not state.is_completed():
        raise StageError(f"Training by the pool gpu ended as {state.name}: {state.message}")


def wait_until_final(client: SyncPrefectClient, flow_run: UUID, reporter: Reporter) -> State[Any]:
    """Wait for a flow run's final state, and report each state on the way.

    The other run keeps working while the server is down, so this one waits for the server.
    """
    shown, since, away = "", time.monotonic(), False
    while True:
        try:
            state = client.read_flow_run(flow_run).state
        except httpx.HTTPError as error:
            if isinstance(error, httpx.HTTPStatusError) and not error.response.is_server_error:
                raise
            if not away:
                reporter.note("train      the Prefect server is not responding: waiting for it")
            away = True
            time.sleep(POLL)
            continue
        away = False
        name = (state and state.name) or ""
        if name != shown:
            reporter.note(f"train      on the pool gpu: {name}")
            shown = name
        if state and state.is_final():
            return state
        if state and not state.is_scheduled():
            since = time.monotonic()
        elif time.monotonic() - since > PATIENCE:
            since = time.monotonic()
            reporter.note(
                f"train      no worker of the pool gpu has taken it in {PATIENCE:.0f} s, still "
                "waiting; start one: prefect worker start --pool gpu"
            )
        time.sleep(POLL)
