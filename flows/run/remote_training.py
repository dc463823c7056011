"""Training on another machine: a run sends its request to a worker of the pool ``gpu``.

The request is a file in the storage: remote, or a folder that both machines share at the same path.
Prefect carries only its name, since its parameters have a limit (512 KB) that long lists of shards
exceed. The run then finds the result in the store.
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from typing import Annotated, Any, cast
from uuid import UUID

import httpx
from prefect import flow, get_run_logger
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterIdempotencyKey
from prefect.client.schemas.objects import FlowRun, State, StateType
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
RESUME = (
    "The logs of that flow run and of its worker say more. Run the same command again: training "
    "resumes from its last checkpoint."
)


@flow(name="train-request", description="Training for a run on another machine.")
def train_request(
    request: Annotated[str, Field(description="File of the training job in the storage.")],
    storage: Annotated[str, Field(description="Storage folder or URL, shared with that run.")],
    run: Annotated[str, Field(description="Id of that run.")],
    force: Annotated[bool, Field(description="Train even if the result is cached.")] = False,
    retries: Annotated[int, Field(description="As run.retries of that run.", ge=0)] = 0,
    retry_delay: Annotated[float, Field(description="As its run.retry_delay.", ge=0)] = 0,
) -> str:
    """Compute a training request in the shared storage; return its key."""
    store = Store.at(storage)
    file = store.here(request)
    if not file.exists():
        raise StageError(
            f"{store.place(request)}: not there. This worker and the run that sent it need the "
            "same storage: remote, or a folder that both machines have at the same path."
        )
    wanted = read_request(file)
    check_shared(wanted, store)
    reporter = LogReporter(get_run_logger())
    if (step := store.resumes_at(wanted, force=force)) is not None:
        reporter.note(f"train      resuming from the checkpoint at step {step:,}")
    running = Running("train", [progress_path(store.root, run, wanted)], None, time.monotonic())
    with watch(reporter, running):
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

    Runs that ask for the same at once share one training job. Stopping the run that sent it cancels
    it; another one then sends it again. A job that crashes is sent again at most ``run.retries``
    times. Raises StageError if it fails there, or crashes again.
    """
    (request,) = requests
    file = request.file(store.root)
    write_request(request, file)
    name = file.relative_to(store.root).as_posix()
    store.share(name)
    parameters = {
        "request": name,
        "storage": store.place(),
        "run": run,
        "force": force,
        "retries": config.retries,
        "retry_delay": config.retry_delay,
    }
    work = f"{store.place()}/{name}" + (f" forced by {run}" if force else "")
    crashes = 0
    with get_client(sync_client=True) as client:
        for attempt in count():
            sent = _find_or_send(client, f"{work} {attempt}", parameters)
            if sent.state and (sent.state.is_final() or sent.state.is_cancelling()):
                continue  # it had ended before this run asked
            mine = sent.parameters.get("run") == run
            if not mine:
                reporter.note(
                    "train      on the pool gpu: another run has sent it, waiting for that"
                )
            state = _wait(client, sent, mine, reporter)
            if state.is_completed():
                return
            if state.is_cancelled() and not mine:
                reporter.note("train      the run that sent it was stopped: sending it again")
            elif state.is_crashed() and crashes < config.retries:
                crashes += 1
                reporter.note(
                    f"train      {state.message or 'its process ended'} Sending it again "
                    f"({crashes} of {config.retries}): it resumes from its last checkpoint"
                )
                time.sleep(config.retry_delay)
            else:
                advice = "" if state.is_failed() else f" {RESUME}"
                raise StageError(
                    f"Training by the pool gpu ended as {state.name}: {state.message}{advice}"
                )


def _find_or_send(client: SyncPrefectClient, key: str, parameters: dict[str, Any]) -> FlowRun:
    """Return the flow run with an idempotency key, which Prefect gives to one alone."""
    known = FlowRunFilter(idempotency_key=FlowRunFilterIdempotencyKey(any_=[key]))
    for found in client.read_flow_runs(flow_run_filter=known):
        return found  # asking first, since each sending shows as a subflow of this run
    try:
        sent: Any = run_deployment(
            DEPLOYMENT, parameters=parameters, timeout=0, idempotency_key=key
        )
    except ObjectNotFound:
        raise StageError(
            f"run.train_on is gpu-pool, but this Prefect server has no deployment {DEPLOYMENT}. "
            "Set PREFECT_API_URL to the server of `sentiment up`, or run `sentiment deploy`."
        ) from None
    return cast(FlowRun, sent)


def _wait(client: SyncPrefectClient, sent: FlowRun, mine: bool, reporter: Reporter) -> State[Any]:
    """Wait for a flow run's end; if this run is stopped, cancel it unless it is another run's."""
    try:
        return wait_until_final(client, sent.id, reporter)
    except BaseException:  # cancelling raises an exception not derived from Exception
        if mine:
            with suppress(httpx.HTTPError):
                client.set_flow_run_state(sent.id, State(type=StateType.CANCELLING))
        raise


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
                "waiting; start one: sentiment up --gpu, or prefect worker start --pool gpu and "
                "switch the pool on in the UI if it is paused"
            )
        time.sleep(POLL)
