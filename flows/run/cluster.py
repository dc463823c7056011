"""A mapped stage on a Dask cluster: one Prefect task on the driver, its shards on the workers.

The workers need the same code and libraries, and the storage; they never talk to Prefect. Dask does
the shard of a worker that dies again on another one.
"""

import errno
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias
from uuid import uuid4

from distributed import Client, LocalCluster
from distributed.scheduler import KilledWorker
from prefect import task
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.ui.reporters import Reporter
from sentiment.errors import StageError
from tasks.manifest import Manifest
from tasks.run.config import RunConfig
from tasks.run.portable import to_json
from tasks.run.prefect_task import is_transient, results
from tasks.run.progress import ProgressFile, progress_path
from tasks.run.shard import Outcome, compute_shard
from tasks.stage import RUN_AGAIN, Request, Stage
from tasks.store import Store
from tasks.store.machine import cores

CONNECT_WITHIN = 10.0  # seconds
Work: TypeAlias = Callable[[Mapping[str, Any]], Outcome]
PATIENCE = 60.0  # seconds without a worker before the log says so, and again


def run_on_cluster(
    stage: Stage,
    requests: Sequence[Request],
    missing: Sequence[Request],
    *,
    store: Store,
    config: RunConfig,
    run: str,
    force: bool,
    reporter: Reporter,
) -> list[Manifest]:
    """Compute the missing ones of a stage's requests on a cluster; return all manifests.

    The first failure is raised after all shards have ended. Raises StageError if the scheduler does
    not answer, or if several workers died of one shard.
    """
    left = {request.key: request for request in missing}
    work = partial(compute_shard, place=store.place(), run=run, force=force)

    def shards() -> State[Any] | None:
        if not left:
            return Completed(name="Cached")
        failures = []
        with connected(config, stage, len(left)) as client:
            for request, outcome in outcomes(client, stage, [*left.values()], work, reporter):
                if outcome.error is None:
                    del left[request.key]
                    file = ProgressFile(progress_path(store.root, run, request))
                    file(outcome.rows, outcome.rows, share=1.0)
                else:
                    failures.append((requests.index(request), outcome))
        if failures:
            _, outcome = min(failures, key=lambda failure: failure[0])
            assert outcome.error is not None
            raise outcome.error from outcome.cause
        return None

    task(
        name=stage.name,
        task_run_name=stage.name,
        retries=config.retries,
        retry_delay_seconds=config.retry_delay,
        retry_condition_fn=is_transient,
    )(shards)()
    if store.objects is None and not all(found.manifest for found in store.find_all(missing)):
        raise StageError(
            f"{stage.name}: what the workers computed is not in {store.place()}. They need this "
            "folder at the same path, or remote storage: see docs/scale.md."
        )
    return results(store, requests)


def outcomes(
    client: Client, stage: Stage, requests: Sequence[Request], work: Work, reporter: Reporter
) -> Iterator[tuple[Request, Outcome]]:
    """Have the workers do some requests; yield what becomes of each, as they end."""
    names = [f"{stage.name}-{request.key}-{uuid4().hex[:8]}" for request in requests]
    given = [to_json(request) for request in requests]
    futures = client.map(work, given, key=names, pure=False)
    asked = dict(zip(names, requests, strict=True))
    ended: SimpleQueue[Any] = SimpleQueue()
    for future in futures:
        future.add_done_callback(ended.put)  # type: ignore[no-untyped-call]
    for _ in futures:
        future = _next_of(ended, client, stage, reporter)
        request = asked[future.key]
        yield request, _outcome(f"{stage.name} {request.label}", future)


def _next_of(ended: SimpleQueue[Any], client: Client, stage: Stage, reporter: Reporter) -> Any:
    while True:
        try:
            return ended.get(timeout=PATIENCE)
        except Empty:
            about = client.scheduler_info(n_workers=1)
            if not about["workers"]:
                reporter.note(
                    f"{stage.name:<11}the cluster has no worker, still waiting; start one: "
                    f"dask worker {about['address']}"
                )


def _outcome(name: str, future: Any) -> Outcome:
    if future.status in ("cancelled", "lost"):
        lost = ConnectionResetError(errno.ECONNRESET, "connection lost")
        return Outcome(0, StageError(f"{name}: lost the Dask scheduler. {RUN_AGAIN}"), lost)
    error = future.exception()
    if error is None:
        outcome: Outcome = future.result()
        return outcome
    if isinstance(error, KilledWorker):
        wrong = (
            f"{name}: {error.allowed_failures + 1} times its worker died, most likely of too "
            f"little memory. Lower ingest.shard_size, or give the workers more memory. {RUN_AGAIN}"
        )
    else:
        wrong = f"{name}: {type(error).__name__} on a Dask worker: {error}"
        if isinstance(error, ImportError):
            wrong += ". Install the same commit and the same versions on all machines."
    return Outcome(0, StageError(wrong), error)


@contextmanager
def connected(config: RunConfig, stage: Stage, shards: int) -> Iterator[Client]:
    """Connect to the cluster that ``run.runner`` names; ``dask`` starts one on this machine."""
    logging.getLogger("distributed").setLevel(logging.ERROR)  # else each worker's start is logged
    if config.cluster is None:
        local = "127.0.0.1:0"  # Dask serves health pages even without a dashboard
        with (
            LocalCluster(  # type: ignore[no-untyped-call]
                n_workers=min(shards, config.workers or cores()),
                threads_per_worker=1,
                host="127.0.0.1",
                dashboard_address=local,
                worker_dashboard_address=local,
                scheduler_kwargs={"dashboard": False},
            ) as cluster,
            Client(cluster) as client,  # type: ignore[no-untyped-call]
        ):
            yield client
        return
    try:
        client = Client(config.cluster, timeout=CONNECT_WITHIN)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TypeError) as error:  # the last of missing certificates
        raise StageError(
            f"{stage.name}: the Dask scheduler {config.runner} does not answer ({error}). Check "
            "the address, and that it runs: dask scheduler"
        ) from None
    with client:
        yield client
