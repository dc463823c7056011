"""Stage ``evaluate``: one request, from the model and the test reviews."""

from collections.abc import Sequence

from sentiment.model.config import EvaluateConfig
from tasks.manifest import Artifact, Manifest
from tasks.stage import Request, Stage, outputs_of, shards_of, split_of
from tasks.train import tensors_of

STAGE = Stage(
    "evaluate",
    "sentiment.evaluation.evaluate:evaluate_model",
    reads=("ingest", "tokenize", "tensors", "train"),
    libraries=("torch",),
)


def tested_reviews(ingested: Sequence[Manifest]) -> tuple[Artifact, ...]:
    """Return the shards of test reviews."""
    return tuple(shard for _, shard in shards_of(ingested) if split_of(shard) == "test")


def requests(
    config: EvaluateConfig,
    ingested: Sequence[Manifest],
    tokenized: Sequence[Manifest],
    encoded: Sequence[Manifest],
    trained: Manifest,
) -> list[Request]:
    inputs = {
        "bundle": trained.outputs,
        "test_tensors": tensors_of("test", ingested, encoded),
        "test_tokens": outputs_of("test", ingested, tokenized, "tokens.parquet"),
        "test_reviews": tested_reviews(ingested),
    }
    return [Request(STAGE, "figures", inputs, {"evaluate": config})]
