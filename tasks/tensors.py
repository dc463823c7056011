"""Stage ``tensors``: a request for each shard of tokens."""

from collections.abc import Sequence

from sentiment.text.tensors import TensorsConfig
from tasks.manifest import Manifest
from tasks.stage import Request, Stage

STAGE = Stage(
    "tensors",
    "sentiment.text.tensors:encode_shard",
    reads=("tokenize", "vocabulary"),
    mapped=True,
)


def requests(
    config: TensorsConfig, tokenized: Sequence[Manifest], vocabulary: Manifest
) -> list[Request]:
    words = vocabulary.output("vocabulary.parquet")
    return [
        Request(
            STAGE,
            tokens.label,
            {"tokens": tokens.output("tokens.parquet"), "vocabulary": words},
            {"tensors": config},
        )
        for tokens in tokenized
    ]
