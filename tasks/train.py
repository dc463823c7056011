"""Stage ``train``: one request, from the training and validation tensors."""

from sentiment.training.vectors import find_vectors
from tasks.manifest import Artifact
from tasks.run.spec import Done, RunSpec
from tasks.sources import digest_files
from tasks.stage import Inputs, Request, Stage, outputs_of

STAGE = Stage(
    "train",
    "sentiment.training.train:train_model",
    reads=("vocabulary", "tensors"),
    libraries=("torch", "numpy"),
    resumable=True,
    long=True,
    session="sentiment.training.session:training_session",
)


def tensors_of(split: str, done: Done) -> tuple[Artifact, ...]:
    """Return a split's tensors, in the order of its shards."""
    return outputs_of(split, done["ingest"], done["tensors"], "tensors.parquet")


def requests(spec: RunSpec, done: Done) -> list[Request]:
    """Ask for a model. Its bundle also says how texts became ids, so that it can read new ones."""
    config = spec.config
    (vocabulary,) = done["vocabulary"]
    vectors = digest_files(find_vectors(config.train.vectors), spec.store.root)
    inputs: Inputs = {
        "train_tensors": tensors_of("train", done),
        "validation_tensors": tensors_of("validation", done),
        "vocabulary": vocabulary.output("vocabulary.parquet"),
        "vectors": tuple(vectors),
    }
    settings = {
        "train": config.train,
        "tensors": config.tensors,
        "tokenize": config.tokenize,
        "generated": spec.generated,
    }
    return [Request(STAGE, "model", inputs, settings)]
