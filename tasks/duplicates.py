"""Stage ``duplicates``: one request, from the hashes of all shards of reviews."""

from sentiment.data.ingest import SPLITS
from tasks.run.spec import Done, RunSpec
from tasks.stage import Request, Stage, outputs_of

STAGE = Stage(
    "duplicates", "sentiment.data.duplicates:count_duplicates", reads=("ingest", "tokenize")
)


def requests(spec: RunSpec, done: Done) -> list[Request]:
    inputs = {
        split: outputs_of(split, done["ingest"], done["tokenize"], "hashes.parquet")
        for split in SPLITS
    }
    return [Request(STAGE, "texts", inputs)]
