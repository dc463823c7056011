"""Decide whether a stage is cached or has to run, and why. The same for a plan and a run."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from flows.steps import STAGE_NAMES
from sentiment.errors import ConfigError
from tasks.manifest import Manifest
from tasks.run.spec import RunSpec
from tasks.stage import Request, Stage
from tasks.store import Lookup
from tasks.store.reasons import closest, explain, summarise
from tasks.store.run_records import earlier_results


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

    def may_run(self, stage: str) -> bool:
        """Return whether a stage is not before the first one selected."""
        if self.start is None or stage not in STAGE_NAMES:
            return True
        return STAGE_NAMES.index(stage) >= STAGE_NAMES.index(self.start)


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
    found = tuple(spec.store.find(request, verify=verify) for request in requests)
    missing = [place for place, entry in enumerate(found) if entry.manifest is None]
    if not missing and not force:
        return Decision(found, (None,) * len(found), 0, "nothing changed")
    earlier = earlier_results(spec.store, stage.name, spec.about, before=before)
    last = closest([requests[n] for n in missing], earlier)
    previous = tuple(last.get(request.label) for request in requests)
    if force:
        return Decision(found, previous, len(requests), "forced")
    reasons = [explain(requests[n], found[n], previous[n]) for n in missing]
    return Decision(found, previous, len(missing), summarise(reasons, len(requests), stage.pieces))
