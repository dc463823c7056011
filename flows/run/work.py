"""The work of a stage: its requests as Prefect tasks, watched, within their time, here or far."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from flows.run.context import RunContext
from flows.run.decision import Decision
from flows.run.remote_training import train_remotely
from flows.run.stage_timeout import deadline
from flows.run.task_runners import kind_of_runner, task_runner
from flows.ui.progress_bars import progress_artifact
from flows.ui.reporters import Running, watch
from tasks import train
from tasks.manifest import Manifest
from tasks.run.prefect_task import compute, run_requests
from tasks.run.progress import progress_path
from tasks.stage import Request, Stage


def compute_missing(
    context: RunContext,
    stage: Stage,
    requests: Sequence[Request],
    decision: Decision,
    *,
    title: str = "",
    does: Callable[..., Any] | None = None,
) -> list[Manifest]:
    """Return the manifests of a stage's requests, computing those that the store does not have.

    Those that it has become tasks too, which Prefect shows as cached.
    """
    store, run, reporter = context.spec.store, context.record.run_id, context.reporter
    config, force = context.spec.config.run, stage.name in context.selection.force
    if stage.resumable and not decision.cached and not title:
        _say_where_from(context, stage, requests, force)
    running = at_work(stage, requests, decision, store.root, run, title=title)
    with (
        watch(reporter, running),
        progress_artifact(running, wanted=stage.long and not decision.cached),
        deadline(config.stage_timeout, stage.name),
    ):
        if stage is train.STAGE and config.train_on == "gpu-pool" and not decision.cached:
            train_remotely(requests, config, store=store, run=run, force=force, reporter=reporter)
            force = False  # it is done, and found in the store
        if kind_of_runner(config, stage, decision.missing) == "dask":
            from flows.run.cluster import run_on_cluster  # Dask is an extra

            return run_on_cluster(
                stage,
                requests,
                decision.to_run(requests),
                store=store,
                config=config,
                run=run,
                force=force,
                reporter=reporter,
            )
        return run_requests(
            stage,
            requests,
            store=store,
            runner=task_runner(config, stage, decision.missing),
            run=run,
            force=force,
            retries=config.retries,
            retry_delay=config.retry_delay,
            title=title,
            does=does or compute,
        )


def _say_where_from(
    context: RunContext, stage: Stage, requests: Sequence[Request], force: bool
) -> None:
    for request in requests:
        step = context.spec.store.resumes_at(request, force=force)
        if step is not None:
            context.reporter.note(f"{stage.name:<11}resuming from the checkpoint at step {step:,}")


def at_work(
    stage: Stage,
    requests: Sequence[Request],
    decision: Decision,
    root: Path,
    run: str,
    *,
    title: str = "",
) -> Running:
    """Return what is to be watched of a stage that begins: its requests that are not cached."""
    busy = decision.to_run(requests)
    files = [progress_path(root, run, request) for request in busy]
    sizes = [sum(artifact.size for artifact in request.artifacts) for request in busy]
    rows = expected_rows(stage, busy)
    return Running(title or stage.name, files, rows, time.monotonic(), sizes)


def expected_rows(stage: Stage, requests: Sequence[Request]) -> int | None:
    """Return how many reviews a mapped stage has before it, None where that is unknown."""
    if not stage.mapped:
        return None
    rows = [
        value.rows
        for request in requests
        for value in request.inputs.values()
        if not isinstance(value, tuple) and value.name != "vocabulary.parquet"
    ]
    return sum(row or 0 for row in rows) or None
