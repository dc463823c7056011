"""Stage ``duplicates``: one request, from all shards of reviews."""

from collections.abc import Sequence

from sentiment.data.ingest import SPLITS
from tasks.manifest import Manifest
from tasks.stage import Request, Stage, shards_of, split_of

STAGE = Stage("duplicates", "sentiment.data.duplicates:count_duplicates", reads=("ingest",))


def requests(ingested: Sequence[Manifest]) -> list[Request]:
    shards = [shard for _, shard in shards_of(ingested)]
    inputs = {
        split: tuple(shard for shard in shards if split_of(shard) == split) for split in SPLITS
    }
    return [Request(STAGE, "texts", inputs)]
