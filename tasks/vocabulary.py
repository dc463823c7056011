"""Stage ``vocabulary``: one request, from the counts of all training shards."""

from collections.abc import Sequence

from sentiment.text.vocabulary import VocabularyConfig
from tasks.manifest import Manifest
from tasks.stage import Request, Stage, shards_of, split_of

STAGE = Stage("vocabulary", "sentiment.text.vocabulary:build_vocabulary", reads=("tokenize",))


def requests(
    config: VocabularyConfig, ingested: Sequence[Manifest], tokenized: Sequence[Manifest]
) -> list[Request]:
    counts = tuple(
        tokens.output("counts.parquet")
        for (_, shard), tokens in zip(shards_of(ingested), tokenized, strict=True)
        if split_of(shard) == "train"
    )
    return [Request(STAGE, "vocabulary", {"counts": counts}, {"vocabulary": config})]
