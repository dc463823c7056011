"""Stage ``train``: one request, from the training and validation tensors."""

from collections.abc import Sequence

from sentiment.model.config import TrainConfig
from sentiment.text.cleaning import TokenizeConfig
from sentiment.text.tensors import TensorsConfig
from tasks.manifest import Artifact, Manifest
from tasks.stage import Inputs, Request, Stage, outputs_of

STAGE = Stage(
    "train",
    "sentiment.training.train:train_model",
    reads=("vocabulary", "tensors"),
    libraries=("torch",),
    resumable=True,
)


def tensors_of(
    split: str, ingested: Sequence[Manifest], encoded: Sequence[Manifest]
) -> tuple[Artifact, ...]:
    """Return a split's tensors, in the order of its shards."""
    return outputs_of(split, ingested, encoded, "tensors.parquet")


def requests(
    train: TrainConfig,
    tensors: TensorsConfig,
    tokenize: TokenizeConfig,
    ingested: Sequence[Manifest],
    vocabulary: Manifest,
    encoded: Sequence[Manifest],
    vectors: Sequence[Artifact] = (),
) -> list[Request]:
    """Ask for a model; its bundle also says how texts became ids, so that it can read new ones."""
    inputs: Inputs = {
        "train_tensors": tensors_of("train", ingested, encoded),
        "validation_tensors": tensors_of("validation", ingested, encoded),
        "vocabulary": vocabulary.output("vocabulary.parquet"),
        "vectors": tuple(vectors),
    }
    settings = {"train": train, "tensors": tensors, "tokenize": tokenize}
    return [Request(STAGE, "model", inputs, settings)]
