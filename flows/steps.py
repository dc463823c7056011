"""The pipeline: its stages in order, and a loop that takes a run through them.

A stage is a module of ``tasks`` with a ``STAGE`` and ``requests(spec, done)``, which returns the
work to ask for, given the manifests of the stages before. What happens to a request is up to the
caller: a run computes it, a plan looks it up.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from sentiment.evaluation.promotion import Verdict
from tasks import (
    baseline,
    champion,
    duplicates,
    evaluate,
    ingest,
    promote,
    report,
    sample,
    tensors,
    tokenize,
    train,
    vocabulary,
)
from tasks.manifest import Manifest
from tasks.registry.champion import apply_verdict
from tasks.run.spec import Done, RunSpec
from tasks.stage import Request, Stage

Answer: TypeAlias = Callable[[Stage, Sequence[Request]], list[Manifest]]


class StageModule(Protocol):
    """A module of ``tasks`` that is a stage. One with no requests in a run is skipped."""

    STAGE: Stage

    def requests(self, spec: RunSpec, done: Done) -> list[Request]: ...


STAGES: tuple[StageModule, ...] = (
    sample,
    ingest,
    tokenize,
    vocabulary,
    tensors,
    train,
    evaluate,
    baseline,
    duplicates,
    champion,
    promote,
    report,
)
STAGE_NAMES = tuple(module.STAGE.name for module in STAGES if module.STAGE.listed)


def drive(spec: RunSpec, answer: Answer, *, until: str | None = None) -> dict[str, list[Manifest]]:
    """Take a run through the stages up to ``until``; return the manifests of each.

    ``answer`` is asked for the manifests of one stage after the other.
    """
    spec.check()
    for module in STAGES:  # read before the first stage runs: later edits are not part of this run
        _ = module.STAGE.code
    done: dict[str, list[Manifest]] = {}
    for module in STAGES:
        step(module, spec, done, answer)
        if module.STAGE.name == until:
            break
    return done


def step(
    module: StageModule, spec: RunSpec, done: dict[str, list[Manifest]], answer: Answer
) -> None:
    """Take a run through one stage."""
    done.pop(module.STAGE.name, None)
    requests = module.requests(spec, done)
    if requests:
        done[module.STAGE.name] = answer(module.STAGE, requests)


def decide_champion(
    spec: RunSpec, done: dict[str, list[Manifest]], answer: Answer, run: str
) -> Verdict:
    """Carry out the verdict of ``promote``; decide again if the champion changed meanwhile."""
    while True:
        (decided,), (trained,) = done["promote"], done["train"]
        verdict = apply_verdict(spec.store, decided, trained, run, spec.config.promote.champion)
        if verdict is not None:
            return verdict
        for module in (champion, promote):
            step(module, spec, done, answer)
