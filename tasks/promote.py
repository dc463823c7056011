"""Stage ``promote``: one request, from what was measured of model, baseline and champion."""

from tasks.champion import (
    THRESHOLD,
    bundle_measured,
    candidate_of,
    incumbent_of,
    needs_measuring,
    registry_of,
)
from tasks.run.spec import Done, RunSpec
from tasks.stage import Request, Stage

STAGE = Stage(
    "promote",
    "sentiment.evaluation.promotion:promote_model",
    reads=("evaluate", "baseline", "champion"),
)
WORDS = {
    "candidate.digest": "train's output changed",
    "candidate.threshold": THRESHOLD,
    "candidate": "ingest's output changed",
    "champion": "the champion changed",
    "rolled_back": "the champion changed",
}


def requests(spec: RunSpec, done: Done) -> list[Request]:
    """Ask for a verdict. ``apply_verdict`` refuses it if the champion has changed by then."""
    (evaluated,), (baseline,) = done["evaluate"], done["baseline"]
    candidate = candidate_of(spec, done)
    registry = registry_of(spec)
    incumbent = incumbent_of(spec, registry, candidate)
    if incumbent is not None and needs_measuring(incumbent, candidate):
        # If the champion has changed since, decide as if there were none: apply_verdict rejects it.
        measured = [m for m in done.get("champion", ()) if bundle_measured(m) == incumbent.digest]
        incumbent = (
            incumbent.model_copy(
                update={name: measured[0].stats[name] for name in ("accuracy", "mcc")}
            )
            if measured
            else None
        )
    settings = {
        "promote": spec.config.promote,
        "candidate": candidate,
        "champion": incumbent,
        "rolled_back": registry.rolled_back().get(candidate.digest),
    }
    inputs = {
        "metrics": evaluated.output("metrics.json"),
        "predictions": evaluated.output("predictions.parquet"),
        "baseline_predictions": baseline.output("predictions.parquet"),
    }
    return [Request(STAGE, "verdict", inputs, settings, WORDS)]
