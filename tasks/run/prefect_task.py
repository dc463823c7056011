"""The Prefect task around a stage. Prefect keeps a record; the store has the result."""

import errno
import logging
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from prefect import task
from prefect.client.schemas.objects import State
from prefect.context import TaskRunContext
from prefect.exceptions import TerminationSignal
from prefect.states import Cancelled
from prefect.task_runners import TaskRunner

from sentiment.errors import SentimentError, StageError
from sentiment.progress import Progress, silent
from sentiment.training.signals import run_stoppable
from tasks.manifest import Manifest
from tasks.process import end_with_parent
from tasks.run.progress import ProgressFile, progress_path
from tasks.stage import RUN_AGAIN, Request, Stage
from tasks.store.store import Store

RECORDS = "prefect"  # folder of Prefect's own records under the storage root
# Not a full disk, a missing permission or a missing file: a retry would fail again.
TRANSIENT = {
    errno.EAGAIN, errno.EBUSY, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.EIO, errno.ENETDOWN,
    errno.ENETUNREACH, errno.ECONNRESET, errno.ENOTCONN, errno.ESTALE, errno.ETIMEDOUT,
}  # fmt: skip


def says_something(record: logging.LogRecord) -> bool:
    """Return whether a line of Prefect's log is worth reading.

    "Finished in state Completed()" does not name the task, and the stage has a line of its own. Of
    a task that was stopped Prefect writes such a line as an error. A flow that is cancelled would
    end with "Finished in state Running()".
    """
    nothing = SAYS_NOTHING.get(record.name)
    return nothing is None or re.match(nothing, record.getMessage()) is None


SAYS_NOTHING = {
    "prefect.task_runs": r"Finished in state (Cached|Completed|Cancelled)\(",
    "prefect.flow_runs": r"Finished in state Running\(",
}
for _name in SAYS_NOTHING:
    logging.getLogger(_name).addFilter(says_something)


class TaskInput:
    """The input of a task: a request, and the run and store it is computed for.

    Not a dataclass: Prefect and Dask search those for other tasks' results.
    """

    def __init__(self, request: Request, store: Store, *, run: str, force: bool) -> None:
        self.request, self.store, self.run, self.force = request, store, run, force


def cache_key(context: TaskRunContext, parameters: dict[str, Any]) -> str:
    """Return the request's key for Prefect's cache.

    Where the store's files are missing or damaged, Prefect's record is removed too, so the task
    runs again.
    """
    work: TaskInput = parameters["work"]
    key = f"{work.request.stage.name}-{work.request.key}"
    if work.store.find(work.request).manifest is None:
        (work.store.root / RECORDS / key).unlink(missing_ok=True)
    return key


def compute(work: TaskInput, listen: Progress = silent) -> str:
    """Compute a request in the store and return its folder there.

    ``listen`` also receives progress and can abort by raising.
    """
    end_with_parent()
    file = ProgressFile(progress_path(work.store.root, work.run, work.request))

    def progress(done: int, total: int | None = None, **figures: float) -> None:
        file(done, total, **figures)
        listen(done, total, **figures)

    build = partial(
        work.store.build, work.request, force=work.force, run=work.run, progress=progress
    )
    # Prefect marks a run as cancelled, not crashed, only while its own signal handler is in place.
    built = run_stoppable(build) if work.request.stage.resumable else build()
    return f"{built.manifest.stage}/{built.manifest.key}"


def is_transient(_task: Any, _task_run: Any, state: State[Any]) -> bool:
    """Return whether a task failed because of a transient error of a disk or network share.

    The project's own errors are transient only if such an error caused them.
    """
    error = state.data
    cause = error.__cause__ if isinstance(error, SentimentError) else error
    return isinstance(cause, OSError) and cause.errno in TRANSIENT


def run_requests(
    stage: Stage,
    requests: Sequence[Request],
    *,
    store: Store,
    runner: TaskRunner[Any],
    run: str,
    force: bool = False,
    retries: int = 0,
    retry_delay: float = 0,
    title: str = "",
    does: Callable[..., Any] = compute,
) -> list[Manifest]:
    """Run a stage's requests as tasks of the current flow run; return manifests in their order.

    A mapped stage's tasks go to ``runner``, another's run here. The first failure is raised, after
    all tasks have ended; CancelledRun where ``does`` returned the state Cancelled.
    """
    stops: list[BaseException] = []

    def stoppable(work: TaskInput) -> Any:
        try:
            return does(work)
        except (KeyboardInterrupt, TerminationSignal) as stop:
            stops.append(stop)
            return Cancelled(message="Stopped.")  # Prefect would call the task crashed

    base = task(
        name=stage.name,
        cache_key_fn=cache_key,
        persist_result=True,
        result_storage=store.root / RECORDS,
        result_serializer="json",
        refresh_cache=force,
        retries=retries,
        retry_delay_seconds=retry_delay,
        retry_condition_fn=is_transient,
    )(does if stage.mapped else stoppable)
    names = [title or (f"{stage.name} {r.label}" if stage.mapped else stage.name) for r in requests]
    tasks = [base.with_options(task_run_name=name) for name in names]
    inputs = [TaskInput(request, store, run=run, force=force) for request in requests]
    if stage.mapped:
        with runner:
            futures = [
                runner.submit(each, parameters={"work": i})
                for each, i in zip(tasks, inputs, strict=True)
            ]
            for future in futures:
                future.wait()
            for future in futures:
                future.result()
    else:
        ended: list[Any] = []
        for each, work in zip(tasks, inputs, strict=True):
            ended.append(each(work=work))
            if stops:
                raise stops[0]
        for state in ended:  # a state that a task returns is handed on as it is
            if isinstance(state, State):
                state.result()
    return results(store, requests)


def results(store: Store, requests: Sequence[Request]) -> list[Manifest]:
    """Return what the store has for requests that were computed, whatever Prefect's record says."""
    manifests = []
    for request, found in zip(requests, store.find_all(requests), strict=True):
        if found.manifest is None:
            damage = found.damage or f"{store.folder(request)} is gone"
            raise StageError(f"{damage}, though it was there a moment ago. {RUN_AGAIN}")
        manifests.append(found.manifest)
    return manifests
