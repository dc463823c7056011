"""Stage ``tensors``: a request for each shard of tokens."""

from tasks.run.spec import Done, RunSpec
from tasks.stage import Request, Stage

STAGE = Stage(
    "tensors",
    "sentiment.text.tensors:encode_shard",
    reads=("tokenize", "vocabulary"),
    mapped=True,
)


def requests(spec: RunSpec, done: Done) -> list[Request]:
    (vocabulary,) = done["vocabulary"]
    return [
        Request(
            STAGE,
            shard.label,
            {
                "tokens": shard.output("tokens.parquet"),
                "vocabulary": vocabulary.output("vocabulary.parquet"),
            },
            {"tensors": spec.config.tensors},
        )
        for shard in done["tokenize"]
    ]
