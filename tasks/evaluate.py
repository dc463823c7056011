"""Stage ``evaluate``: one request, from the model and the test reviews."""

from collections.abc import Sequence

from sentiment.recipe import EvaluateConfig
from tasks.manifest import Manifest
from tasks.stage import Request, Stage, shards_of, split_of
from tasks.train import tensors_of

STAGE = Stage(
    "evaluate",
    "sentiment.evaluate:evaluate_model",
    reads=("ingest", "tensors", "train"),
    libraries=("torch", "matplotlib"),
)


def requests(
    config: EvaluateConfig,
    *,
    title: str,
    generated: bool,
    ingested: Sequence[Manifest],
    vocabulary: Manifest,
    encoded: Sequence[Manifest],
    trained: Manifest,
) -> list[Request]:
    """Ask for the figures and the report; ``generated`` says that the reviews were made up."""
    reviews = tuple(shard for _, shard in shards_of(ingested) if split_of(shard) == "test")
    rejected = sum(sum(manifest.facts["rejected"].values()) for manifest in ingested)
    facts = {
        "Lines read": f"{sum(manifest.facts['read'] for manifest in ingested):,}",
        "Lines rejected": f"{rejected:,}",
        "Training reviews": f"{trained.facts['rows']:,}",
        "Vocabulary": f"{vocabulary.facts['size']:,} entries",
        "Parameters": f"{trained.facts['parameters']:,}",
        "Steps": f"{trained.facts['steps']:,}",
        "Best at step": f"{trained.facts['best_step']:,}",
    }
    inputs = {
        "bundle": trained.outputs,
        "test_tensors": tensors_of("test", ingested, encoded),
        "test_reviews": reviews,
    }
    settings = {"evaluate": config, "title": title, "generated": generated, "facts": facts}
    return [Request(STAGE, "report", inputs, settings)]
