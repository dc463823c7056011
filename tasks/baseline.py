"""Stage ``baseline``: one request, from the training and test tensors."""

from collections.abc import Sequence

from tasks.manifest import Manifest
from tasks.stage import Inputs, Request, Stage
from tasks.train import tensors_of

STAGE = Stage(
    "baseline",
    "sentiment.evaluation.baseline:train_baseline",
    reads=("vocabulary", "tensors"),
    libraries=("torch",),
)


def requests(
    ingested: Sequence[Manifest], vocabulary: Manifest, encoded: Sequence[Manifest]
) -> list[Request]:
    inputs: Inputs = {
        "train_tensors": tensors_of("train", ingested, encoded),
        "test_tensors": tensors_of("test", ingested, encoded),
        "vocabulary": vocabulary.output("vocabulary.parquet"),
    }
    return [Request(STAGE, "linear", inputs)]
