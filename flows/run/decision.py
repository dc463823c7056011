"""Decide whether a stage is cached or has to run, and why. The same for a plan and a run."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field

from flows.config.presets import storage_place
from flows.steps import STAGE_NAMES, STAGES
from sentiment.errors import ConfigError, StageError
from tasks import sample
from tasks.manifest import Manifest
from tasks.run.spec import RunSpec
from tasks.stage import Request, Stage
from tasks.store import Lookup
from tasks.store.place import resolved
from tasks.store.reasons import closest, explain, summarise
from tasks.store.run_records import earlier_results

ORDER = tuple(module.STAGE.name for module in STAGES)
FORCED = "forced"  # the reason of a stage that runs because it was asked for


@dataclass(frozen=True)
class Selection:
    """Which stages may run: those from ``start`` to ``until``. Earlier ones must be cached.

    Stages in ``force`` run even if cached.
    """

    start: str | None = None
    until: str | None = None
    force: frozenset[str] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        for name in {self.start, self.until, *self.force} - {None}:
            if name not in STAGE_NAMES:
                raise ConfigError(f"There is no stage {name!r}. Stages: {', '.join(STAGE_NAMES)}.")
        start, until = self.start or STAGE_NAMES[0], self.until or STAGE_NAMES[-1]
        if STAGE_NAMES.index(start) > STAGE_NAMES.index(until):
            raise ConfigError(f"The first stage, {start}, comes after the last, {until}.")
        for name in self.force:
            if STAGE_NAMES.index(name) > STAGE_NAMES.index(until):
                raise ConfigError(f"The stage {name} is forced, but comes after the last, {until}.")

    def may_run(self, stage: str) -> bool:
        """Return whether a stage may run: generating reviews always may."""
        if self.start is None or stage == sample.STAGE.name:
            return True
        return STAGE_NAMES.index(_listed(stage)) >= STAGE_NAMES.index(self.start)

    def check(self, spec: RunSpec, stage: str, reason: str) -> None:
        """Raise StageError if a stage that has to run, for this reason, comes before the first."""
        if not self.may_run(stage):
            first = _listed(stage)
            raise StageError(
                f"The stage {stage} is not cached ({reason}), and this run starts at {self.start}. "
                f"Start at {first} instead: {self._command(spec, first)}"
            )

    def _command(self, spec: RunSpec, start: str) -> str:
        """Return the command for the same run from another stage on."""
        words = ["sentiment", "run"]
        if spec.preset != "sample":
            words += ["--preset", spec.preset]
        if spec.data is not None:
            words += ["--data", str(spec.data)]
        for override in spec.overrides:
            words += ["--set", override]
        words += ["--from", start]
        if self.until is not None:
            words += ["--until", self.until]
        for forced in sorted(self.force):
            words += ["--force", forced]
        if spec.store.place() != resolved(storage_place(None)):
            words += ["--storage", spec.store.place()]
        return shlex.join(words)


def _listed(stage: str) -> str:
    """Return the stage that a user names for this one: ``champion`` is a part of ``promote``."""
    return next(name for name in ORDER[ORDER.index(stage) :] if name in STAGE_NAMES)


@dataclass(frozen=True)
class Decision:
    """What the store has for a stage's requests, and why some of them have to run.

    ``found`` and ``previous`` (the manifests, with the same labels, of the closest earlier run) are
    in the order of the requests. ``missing`` counts the requests to run; ``reason`` says why, or
    "nothing changed".
    """

    found: tuple[Lookup, ...]
    previous: tuple[Manifest | None, ...]
    missing: int
    reason: str

    @property
    def cached(self) -> bool:
        return self.missing == 0

    def to_run(self, requests: Sequence[Request]) -> list[Request]:
        """Return the requests to run, of those that were looked up."""
        all_run = self.missing == len(requests)
        found = zip(requests, self.found, strict=True)
        return [request for request, one in found if all_run or one.manifest is None]


def decide(
    spec: RunSpec,
    stage: Stage,
    requests: Sequence[Request],
    *,
    force: bool = False,
    verify: bool = False,
    before: str | None = None,
) -> Decision:
    """Look up a stage's requests. ``before`` is the current run's id, excluded from comparison."""
    found = tuple(spec.store.find_all(requests, verify=verify))
    missing = [place for place, entry in enumerate(found) if entry.manifest is None]
    if not missing and not force:
        return Decision(found, (None,) * len(found), 0, "nothing changed")
    earlier = earlier_results(spec.store, stage.name, spec.about, before=before)
    last = closest([requests[n] for n in missing], earlier)
    previous = tuple(last.get(request.label) for request in requests)
    if force:
        return Decision(found, previous, len(requests), FORCED)
    reasons = [explain(requests[n], found[n], previous[n]) for n in missing]
    return Decision(found, previous, len(missing), summarise(reasons, len(requests), stage.pieces))
