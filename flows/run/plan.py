"""Plan a run: what it would do, found without Prefect. At most reviews are generated for it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from flows.run.decision import FORCED, Decision, Selection, decide
from flows.steps import STAGE_NAMES, STAGES, drive
from sentiment.errors import StageError
from tasks import champion, ingest, promote, sample, train
from tasks.manifest import Manifest, UnknownOutputError
from tasks.registry.champion import is_settled
from tasks.run.config import PipelineConfig
from tasks.run.spec import Done, RunSpec
from tasks.stage import Request, Stage
from tasks.store import Store


@dataclass(frozen=True)
class Planned:
    """A stage's state (``cached``, ``run``, or ``maybe`` if it depends on others) and why."""

    stage: str
    state: str
    reason: str


@dataclass(frozen=True)
class Outlook:
    """A plan, and the results of its stages as far as they are known."""

    spec: RunSpec
    stages: list[Planned]
    done: Done

    @property
    def nothing_to_do(self) -> bool:
        """Whether all is cached, and the champion stays as it is."""
        return self.is_settled and all(planned.state == "cached" for planned in self.stages)

    @property
    def is_settled(self) -> bool:
        """Whether a cached verdict on the model would change no champion."""
        cached = any((p.stage, p.state) == ("promote", "cached") for p in self.stages)
        name = self.spec.config.promote.champion
        return not cached or all(
            is_settled(self.spec.store, decided, name) for decided in self.done["promote"]
        )

    def training_request(self) -> Request:
        """Return the request for training; StageError unless all stages before it are cached."""
        states = {planned.stage: planned.state for planned in self.stages}
        needed = [name for name in STAGE_NAMES if name in train.STAGE.reads or name == "ingest"]
        missing = [name for name in needed if states.get(name) != "cached"]
        if missing:
            raise StageError(
                f"What training reads is not there yet ({', '.join(missing)}). Run the same "
                "options first with: sentiment run --until tensors"
            )
        (request,) = train.requests(self.spec, self.done)
        return request


class _UnknownError(Exception):
    """What a stage would return is not known before it runs."""


def look_ahead(
    spec: RunSpec, selection: Selection, *, verify: bool = False, generate: bool = True
) -> Outlook:
    """Plan a run: what one with the same options would do with each stage, in order.

    A stage that has to run may produce the same output as before. The stages after it are planned
    on that assumption, and are ``maybe`` if it makes them cached. Without ``generate`` nothing is
    known of generated reviews that are not there. Raises what the run would raise before it
    computes anything, and what is wrong at the start of a new input file.
    """
    plan: list[Planned] = []
    done: dict[str, list[Manifest]] = {}

    def look_up(stage: Stage, requests: Sequence[Request]) -> list[Manifest]:
        if stage is sample.STAGE:  # generated reviews: small, and needed by the stages after it
            known = [spec.store.find(request).manifest for request in requests]
            if not generate and None in known:
                raise _UnknownError
            return [
                manifest or spec.store.build(request).manifest
                for manifest, request in zip(known, requests, strict=True)
            ]
        if stage is promote.STAGE:
            plan.extend(_measurement(spec, done, plan))
        force = stage.name in selection.force
        decision = decide(spec, stage, requests, force=force, verify=verify)
        if not decision.cached:
            selection.check(spec, stage.name, decision.reason)
            if stage is ingest.STAGE:
                for request, found in zip(requests, decision.found, strict=True):
                    if found.manifest is None:
                        ingest.check_start(request, spec.store)
        plan.append(_judge(spec, stage, requests, decision, plan))
        done[stage.name] = _expected(decision)
        return done[stage.name]

    try:
        drive(spec, look_up, until=selection.until)
    except (_UnknownError, UnknownOutputError):  # or an earlier result of other code
        plan += _unknown(spec, plan, selection)
    return Outlook(spec, plan, done)


def _measurement(spec: RunSpec, done: Done, plan: Sequence[Planned]) -> Iterator[Planned]:
    """Yield the stage ``champion`` if it was not planned, but may be once others have run."""
    changing = [p.stage for p in plan if p.state != "cached"]
    depends = [name for name in champion.STAGE.reads if name in changing]
    if "champion" not in done and depends and champion.may_be_asked_for(spec, done, depends):
        yield Planned("champion", "maybe", if_changed(depends))


def _judge(
    spec: RunSpec,
    stage: Stage,
    requests: Sequence[Request],
    decision: Decision,
    before: Sequence[Planned],
) -> Planned:
    uncertain = [p.stage for p in before if p.stage in stage.reads and p.state != "cached"]
    if not decision.cached and (
        not uncertain or decision.reason == FORCED or _is_new(spec.store, stage, requests)
    ):
        return Planned(stage.name, "run", decision.reason)
    if uncertain:
        return Planned(stage.name, "maybe", if_changed(uncertain))
    return Planned(stage.name, "cached", decision.reason)


def _is_new(store: Store, stage: Stage, requests: Sequence[Request]) -> bool:
    """Return whether no result, of whatever inputs, has the settings and code of some request."""

    def essence(of: Mapping[str, Any]) -> dict[str, Any]:
        settings = of["config"].items()
        chosen = {name: value for name, value in settings if name in PipelineConfig.model_fields}
        return {"config": chosen, "code": of["code"], "libraries": of["libraries"]}

    known = [essence(vars(manifest)) for manifest in store.results(stage.name)]
    return any(essence(request.ingredients) not in known for request in requests)


def _expected(decision: Decision) -> list[Manifest]:
    """Return the manifests in the store, or else those of the closest earlier run.

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
    states: dict[str, str] = {p.stage: p.state for p in plan}
    rest = []
    for stage in (module.STAGE for module in STAGES):
        may_measure = stage is champion.STAGE and promote.STAGE.name not in states
        measures = may_measure and champion.registry_of(spec).champion is not None
        if stage.name not in states and (stage.listed or measures):
            waits = [name for name in stage.reads if states.get(name, "cached") != "cached"]
            if stage.name in selection.force:
                planned = Planned(stage.name, "run", FORCED)
            elif stage.listed and not spec.store.has_run(stage.name):
                planned = Planned(stage.name, "run", "first run")
            else:
                planned = Planned(stage.name, "maybe", if_changed(waits))
            if planned.state == "run":
                selection.check(spec, stage.name, planned.reason)
            states[stage.name] = planned.state
            rest.append(planned)
        if stage.name == selection.until:
            break
    return rest


def if_changed(stages: Sequence[str]) -> str:
    """Say which outputs decide whether a stage runs."""
    if not stages:
        return "not known before the earlier stages have run"
    *others, last = stages
    return f"if the output of {' or '.join(filter(None, [', '.join(others), last]))} changes"


def plan_table(plan: Sequence[Planned]) -> Table:
    """Return a plan as a table for a person."""
    words: Mapping[str, Text] = {
        "cached": Text("cached", style="green"),
        "run": Text("to run", style="bold yellow"),
        "maybe": Text("to run", style="yellow"),
    }
    table = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for planned in plan:
        reason = "" if planned.state == "cached" else planned.reason
        table.add_row(planned.stage, words[planned.state], reason)
    return table
