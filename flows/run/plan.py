"""Plan a run: what it would do, found without running anything and without Prefect."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table

from flows.run.decision import Decision, Selection, decide
from flows.steps import STAGE_NAMES, STAGES, drive
from tasks import sample
from tasks.manifest import Manifest
from tasks.run.spec import RunSpec
from tasks.stage import Request, Stage


@dataclass(frozen=True)
class Planned:
    """A stage's state (``cached``, ``run``, or ``maybe`` if it depends on others) and why."""

    stage: str
    state: str
    reason: str


class _UnknownError(Exception):
    """What a stage would return is not known before it runs."""


def make_plan(spec: RunSpec, selection: Selection, *, verify: bool = False) -> list[Planned]:
    """Return what a run with the same options would do with each stage, in order.

    A stage that has to run may produce the same output as before. The stages after it are planned
    on that assumption, and are ``maybe`` if it makes them cached.
    """
    plan: list[Planned] = []

    def look_up(stage: Stage, requests: Sequence[Request]) -> list[Manifest]:
        if stage is sample.STAGE:  # generated reviews: small, and needed by the stages after it
            return [
                spec.store.find(request).manifest or spec.store.build(request).manifest
                for request in requests
            ]
        force = stage.name in selection.force
        decision = decide(spec, stage, requests, force=force, verify=verify)
        plan.append(_judge(stage, decision, plan))
        return _expected(decision)

    try:
        drive(spec, look_up, until=selection.until)
    except _UnknownError:
        plan += _unknown(spec, plan, selection)
    return plan


def _judge(stage: Stage, decision: Decision, before: Sequence[Planned]) -> Planned:
    uncertain = [p.stage for p in before if p.stage in stage.reads and p.state != "cached"]
    if not decision.cached:
        return Planned(stage.name, "run", decision.reason)
    if uncertain:
        return Planned(stage.name, "maybe", if_changed(uncertain))
    return Planned(stage.name, "cached", decision.reason)


def _expected(decision: Decision) -> list[Manifest]:
    """Return the manifests in the store, or else the last ones with the same labels.

    Raises _UnknownError if one is missing.
    """
    expected = [
        found.manifest or previous
        for found, previous in zip(decision.found, decision.previous, strict=True)
    ]
    known = [manifest for manifest in expected if manifest is not None]
    if len(known) < len(expected):
        raise _UnknownError
    return known


def _unknown(spec: RunSpec, plan: Sequence[Planned], selection: Selection) -> list[Planned]:
    """Plan the stages whose inputs are not known, since an earlier stage is new."""
    last = STAGE_NAMES.index(selection.until or STAGE_NAMES[-1])
    states: dict[str, str] = {p.stage: p.state for p in plan}
    rest = []
    listed = [module.STAGE for module in STAGES if module.STAGE.listed]
    for stage in [stage for stage in listed[: last + 1] if stage.name not in states]:
        new = not (spec.store.root / stage.name).is_dir()
        waits = [name for name in stage.reads if states.get(name, "cached") != "cached"]
        planned = (
            Planned(stage.name, "run", "first run")
            if new
            else Planned(stage.name, "maybe", if_changed(waits))
        )
        states[stage.name] = planned.state
        rest.append(planned)
    return rest


def if_changed(stages: Sequence[str]) -> str:
    """Say which outputs decide whether a stage runs."""
    if not stages:
        return "not known before the earlier stages have run"
    *others, last = stages
    return f"if the output of {' or '.join(filter(None, [', '.join(others), last]))} changes"


def plan_table(plan: Sequence[Planned]) -> Table:
    """Return a plan as a table for a person."""
    words: Mapping[str, str] = {
        "cached": "[green]cached[/]",
        "run": "[bold yellow]to run[/]",
        "maybe": "[yellow]to run[/]",
    }
    table = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for planned in plan:
        reason = "" if planned.state == "cached" else planned.reason
        table.add_row(planned.stage, words[planned.state], reason)
    return table
