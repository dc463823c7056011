"""Stage ``vocabulary``: one request, from the counts of all training shards."""

from tasks.run.spec import Done, RunSpec
from tasks.stage import Request, Stage, outputs_of

STAGE = Stage("vocabulary", "sentiment.text.vocabulary:build_vocabulary", reads=("tokenize",))


def requests(spec: RunSpec, done: Done) -> list[Request]:
    counts = outputs_of("train", done["ingest"], done["tokenize"], "counts.parquet")
    return [
        Request(STAGE, "vocabulary", {"counts": counts}, {"vocabulary": spec.config.vocabulary})
    ]
