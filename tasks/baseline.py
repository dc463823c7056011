"""Stage ``baseline``: one request, from the training and test tensors."""

from tasks.run.spec import Done, RunSpec
from tasks.stage import Inputs, Request, Stage
from tasks.train import tensors_of

STAGE = Stage(
    "baseline",
    "sentiment.evaluation.baseline:train_baseline",
    reads=("vocabulary", "tensors"),
    libraries=("torch", "numpy"),
)


def requests(spec: RunSpec, done: Done) -> list[Request]:
    (vocabulary,) = done["vocabulary"]
    inputs: Inputs = {
        "train_tensors": tensors_of("train", done),
        "test_tensors": tensors_of("test", done),
        "vocabulary": vocabulary.output("vocabulary.parquet"),
    }
    return [Request(STAGE, "linear", inputs)]
