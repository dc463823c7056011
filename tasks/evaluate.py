"""Stage ``evaluate``: one request, from the model and the test reviews."""

from tasks.run.spec import Done, RunSpec
from tasks.stage import Request, Stage, outputs_of, reviews_of
from tasks.train import tensors_of

STAGE = Stage(
    "evaluate",
    "sentiment.evaluation.evaluate:evaluate_model",
    reads=("ingest", "tokenize", "tensors", "train"),
    libraries=("torch", "numpy"),
    long=True,
)


def requests(spec: RunSpec, done: Done) -> list[Request]:
    (trained,) = done["train"]
    inputs = {
        "bundle": trained.outputs,
        "test_tensors": tensors_of("test", done),
        "test_tokens": outputs_of("test", done["ingest"], done["tokenize"], "tokens.parquet"),
        "test_reviews": reviews_of("test", done["ingest"]),
    }
    return [Request(STAGE, "metrics", inputs, {"evaluate": spec.config.evaluate})]
