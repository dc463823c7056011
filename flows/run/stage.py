"""One stage of a run: look up its results, say why it runs, compute what is missing.

The pipeline and ``tune`` run every stage this way, so that retries, time limits and training on the
GPU pool are the same for both.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.run.decision import Decision, Selection, decide
from flows.run.remote_training import train_remotely
from flows.run.stage_timeout import deadline
from flows.run.task_runners import task_runner
from flows.ui.progress_bars import progress_artifact
from flows.ui.reporters import Reporter, Running, watch
from flows.ui.run_summary import StageResult
from sentiment.errors import StageError
from sentiment.training.checkpoints import Checkpoints, step_of
from tasks import train
from tasks.manifest import Manifest, digest_outputs
from tasks.run.prefect_task import compute, progress_path, run_requests
from tasks.run.spec import RunSpec
from tasks.stage import FORCED, Request, Stage
from tasks.store.run_records import RunRecord


@dataclass(frozen=True)
class RunContext:
    """What the stages of a run share."""

    spec: RunSpec
    record: RunRecord
    reporter: Reporter
    selection: Selection = field(default_factory=Selection)
    verify: bool = False
    quiet: bool = False  # about cached stages


@dataclass(frozen=True)
class StageRun:
    """A stage's manifests, in the order of its requests, and what became of it."""

    manifests: list[Manifest]
    result: StageResult


def run_stage(
    context: RunContext,
    stage: Stage,
    requests: Sequence[Request],
    *,
    title: str = "",
    does: Callable[..., Any] = compute,
) -> StageRun:
    """Return the manifests of a stage's requests, computing those that the store does not have.

    With a ``title`` the work is reported under it, and nothing is said of why it runs. ``does`` is
    called for each request, like ``compute``. Raises StageError when the stage may not run or takes
    too long, and what its function raises.
    """
    store, record, reporter = context.spec.store, context.record, context.reporter
    config, name = context.spec.config.run, stage.name
    keys = {request.label: request.key for request in requests}
    force = name in context.selection.force
    # Noted before it is looked up, so that `gc` leaves alone what is about to be used.
    record.stage(name, keys)
    decision = decide(
        context.spec, stage, requests, force=force, verify=context.verify, before=record.run_id
    )
    if not title:
        _announce(context, stage, requests, decision)
    for request, found in zip(requests, decision.found, strict=True):
        if found.damage:
            store.discard(request, verify=context.verify)
    started = time.monotonic()
    if decision.cached and not store.writable:  # Prefect's tasks would write their records there
        manifests = [found.manifest for found in decision.found if found.manifest]
        result = StageResult(name, "cached", decision.reason, 0.0, digest_outputs(manifests))
        return StageRun(manifests, result)
    running = at_work(stage, requests, decision, store.root, record.run_id, title=title)
    with (
        watch(reporter, running),
        progress_artifact(running, wanted=stage.long and not decision.cached),
        deadline(config.stage_timeout, name),
    ):
        if stage is train.STAGE and config.train_on == "gpu-pool" and not decision.cached:
            train_remotely(
                requests, config, store=store, run=record.run_id, force=force, reporter=reporter
            )
            force = False  # it is done, and found in the store
        manifests = run_requests(
            stage,
            requests,
            store=store,
            runner=task_runner(config, stage, decision.missing),
            run=record.run_id,
            force=force,
            retries=config.retries,
            retry_delay=config.retry_delay,
            title=title,
            does=does,
        )
    seconds = round(time.monotonic() - started, 2)
    # Another run may have done the work while this one waited for it.
    worked = any(manifest.run == record.run_id for manifest in manifests)
    state = "completed" if worked else "cached"
    record.stage(name, keys, state=state, reason=decision.reason)
    if worked and not title:
        reporter.note(f"{name:<11}done in {seconds:.1f} s")
    digest = digest_outputs(manifests)
    return StageRun(manifests, StageResult(name, state, decision.reason, seconds, digest))


def _announce(
    context: RunContext, stage: Stage, requests: Sequence[Request], decision: Decision
) -> None:
    """Say whether the stage is cached, why it runs and where from; refuse it if it may not run."""
    name, note = stage.name, context.reporter.note
    if decision.cached:
        if not context.quiet:
            note(f"{name:<11}cached: {decision.reason}")
        return
    if not context.selection.may_run(name):
        raise StageError(
            f"The stage {name} is not cached ({decision.reason}), and this run starts at "
            f"{context.selection.start}. Run it first, with the same options: "
            f"sentiment run --only {name}"
        )
    note(f"{name:<11}to run: {decision.reason}")
    if not stage.resumable:
        return
    force = name in context.selection.force
    for request in requests:
        folder = request.checkpoints(context.spec.store.root)
        newest = Checkpoints(folder, keep=1).newest()
        if newest is not None and (not force or (folder / FORCED).exists()):
            note(f"{name:<11}resuming from the checkpoint at step {step_of(newest):,}")


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
    all_run = decision.missing == len(requests)
    found = zip(requests, decision.found, strict=True)
    busy = [request for request, one in found if all_run or one.manifest is None]
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
