"""Stage ``ingest``: a request for each input file."""

from pathlib import Path
from tempfile import TemporaryDirectory

from sentiment.errors import ConfigError
from tasks.run.spec import Done, RunSpec
from tasks.sources import digest_sources, find_sources
from tasks.stage import Request, Stage
from tasks.store import Store

START = 1_000  # rows of a file that are looked at before a run
STAGE = Stage(
    "ingest",
    "sentiment.data.ingest:ingest_file",
    reads=(),
    mapped=True,
    pieces="files",
    long=True,
)


def requests(spec: RunSpec, done: Done) -> list[Request]:
    sources = find_sources(spec.data or _generated(spec, done))
    artifacts = digest_sources(sources, spec.store)
    config = spec.config.ingest
    limits = {"train": config.train_limit, "test": config.test_limit}
    for role, limit in limits.items():
        if limit and sum(source.role == role for source in sources) > 1:
            raise ConfigError(f"ingest.{role}_limit works with one {role} file; there are several.")
    # A limit shapes only the file that it is for: the other's key leaves it out.
    settings = config.model_copy(update={"train_limit": None, "test_limit": None})
    rules = split_rules({source.role for source in sources})
    return [
        Request(
            STAGE,
            source.path.name,
            {"source": artifact},
            {"split": rules[source.role], "limit": limits.get(source.role), "ingest": settings},
            {
                "split": "the set of input files changed",
                "limit": f"setting ingest.{source.role}_limit {{was}} -> {{now}}",
            },
        )
        for source, artifact in zip(sources, artifacts, strict=True)
    ]


def check_start(request: Request, store: Store) -> None:
    """Raise what is wrong with an input file as far as its first rows tell.

    That is its format, its columns, labels in doubt, and a fault that all of these rows have.
    """
    store.bring(request.artifacts)
    arguments = request.arguments(store.root)
    arguments["limit"] = min(START, arguments["limit"] or START)
    lenient = arguments["ingest"].model_copy(update={"max_reject_rate": 1.0})
    ingest = request.stage.load()
    with TemporaryDirectory(prefix="sentiment-") as out:
        stats = ingest(**arguments | {"ingest": lenient}, out=Path(out))
        if stats["read"] and sum(stats["rejected"].values()) == stats["read"]:
            ingest(
                **request.arguments(store.root), out=Path(out)
            )  # of the whole file: the rate counts


def _generated(spec: RunSpec, done: Done) -> Path:
    (sample,) = done["sample"]
    spec.store.bring(sample.outputs)
    return spec.store.root / sample.stage / sample.key


def split_rules(roles: set[str]) -> dict[str, str]:
    """Say where the reviews of each kind of file go, from the kinds that there are.

    The test file's first half is for validation, as in the 2019 article, unless there is a file for
    that. Without either, the training reviews are split by a hash of their text.
    """
    if roles == {"train"}:
        return {"train": "hash"}
    if {"validation", "test"} <= roles:
        return {"train": "train", "validation": "validation", "test": "test"}
    return {"train": "train", "validation": "halves", "test": "halves"}
