"""Stage ``duplicates``: one request, from all shards of reviews."""

from sentiment.data.ingest import SPLITS
from tasks.run.spec import Done, RunSpec
from tasks.stage import Request, Stage, reviews_of

STAGE = Stage("duplicates", "sentiment.data.duplicates:count_duplicates", reads=("ingest",))


def requests(spec: RunSpec, done: Done) -> list[Request]:
    inputs = {split: reviews_of(split, done["ingest"]) for split in SPLITS}
    return [Request(STAGE, "texts", inputs)]
