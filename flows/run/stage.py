"""One stage of a run: look up its results, say why it runs, compute what is missing.

The pipeline and ``tune`` run every stage this way, so that retries, time limits and training on the
GPU pool are the same for both. Prefect is loaded only for what it has to show: see ``RunContext``.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from flows.run.context import RunContext
from flows.run.decision import decide
from flows.ui.run_summary import StageResult
from tasks.manifest import Manifest, digest_outputs
from tasks.stage import Request, Stage


class NotCachedError(Exception):
    """A run without Prefect has something to do after all."""


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
    does: Callable[..., Any] | None = None,
) -> StageRun:
    """Return the manifests of a stage's requests, computing those that the store does not have.

    With a ``title`` the work is reported under it, and nothing is said of why it runs. ``does`` is
    called for each request, like ``tasks.run.prefect_task.compute``. Raises StageError when the
    stage may not run or takes too long, and what its function raises; NotCachedError when it has to
    run and there is no Prefect.
    """
    store, record, note = context.spec.store, context.record, context.reporter.note
    name = stage.name
    keys = {request.label: request.key for request in requests}
    force = name in context.selection.force
    # Noted before it is looked up, so that `gc` leaves alone what is about to be used.
    record.stage(name, keys)
    decision = decide(
        context.spec, stage, requests, force=force, verify=context.verify, before=record.run_id
    )
    if not decision.cached:
        if not title:
            context.selection.check(context.spec, name, decision.reason)
        if not context.in_prefect:
            raise NotCachedError(name)
    if not title and not (decision.cached and context.quiet):
        note(f"{name:<11}{'cached' if decision.cached else 'to run'}: {decision.reason}")
    for request, found in zip(requests, decision.found, strict=True):
        if found.damage:
            store.discard(request, verify=context.verify)
    started = time.monotonic()
    # Prefect's tasks, also of what is cached, would write their records into the store.
    if decision.cached and not (context.in_prefect and store.writable):
        manifests = [found.manifest for found in decision.found if found.manifest]
    else:
        from flows.run.work import compute_missing

        manifests = compute_missing(context, stage, requests, decision, title=title, does=does)
    seconds = round(time.monotonic() - started, 2)
    # Another run may have done the work while this one waited for it.
    worked = any(manifest.run == record.run_id for manifest in manifests)
    state = "completed" if worked else "cached"
    record.stage(name, keys, state=state, reason=decision.reason)
    if worked and not title:
        note(f"{name:<11}done in {seconds:.1f} s")
    digest = digest_outputs(manifests)
    return StageRun(manifests, StageResult(name, state, decision.reason, seconds, digest))
