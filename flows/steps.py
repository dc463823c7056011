"""The data's way through the stages, without a word on how or whether each is run."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.config.presets import PipelineConfig
from sentiment.data.ingest import check_splits
from sentiment.data.sample import SampleConfig
from sentiment.errors import ConfigError
from sentiment.training.vectors import find_vectors
from tasks import (
    baseline,
    duplicates,
    evaluate,
    ingest,
    promote,
    report,
    sample,
    tensors,
    tokenize,
    train,
    vocabulary,
)
from tasks.manifest import Manifest
from tasks.registry.champion import read_register
from tasks.sources import digest_files, find_sources
from tasks.stage import Request, Stage
from tasks.store import Store

STAGES = (
    ingest.STAGE,
    tokenize.STAGE,
    vocabulary.STAGE,
    tensors.STAGE,
    train.STAGE,
    evaluate.STAGE,
    baseline.STAGE,
    duplicates.STAGE,
    promote.STAGE,
    report.STAGE,
)
STAGE_NAMES = tuple(stage.name for stage in STAGES)

PipelineSteps = Generator[tuple[Stage, list[Request]], list[Manifest], None]


@dataclass(frozen=True)
class RunSpec:
    """What a run is asked for: a configuration (and its preset's name), the data, the storage."""

    preset: str
    config: PipelineConfig
    data: Path | None
    store: Store

    @property
    def generated(self) -> bool:
        """Whether the reviews are made up."""
        return self.data is None

    @property
    def title(self) -> str:
        """What report and card are headed with."""
        return f"Review sentiment: preset {self.preset}"


def pipeline_steps(spec: RunSpec) -> PipelineSteps:
    """Yield each stage with its requests, in order; take their manifests back before the next.

    Without a data folder the first is ``sample``, which generates one and is no stage of its own;
    nor is ``champion``, which measures the champion where that is needed. The stage ``promote``
    comes again when it is answered with no manifest: then the champion changed meanwhile.
    """
    config = spec.config
    data = spec.data
    if data is None:
        (generated,) = yield sample.STAGE, sample.requests(sample_config(spec))
        data = spec.store.root / generated.stage / generated.key
    sources = find_sources(data)
    # Looked up before any work, so that a wrong name is told at once.
    vectors = digest_files(find_vectors(config.train.vectors), spec.store.root)
    artifacts = digest_files([source.path for source in sources], spec.store.root)
    ingested = yield ingest.STAGE, ingest.requests(config.ingest, sources, artifacts)
    check_splits(rows_of(ingested))
    tokenized = yield tokenize.STAGE, tokenize.requests(config.tokenize, ingested)
    (words,) = yield (
        vocabulary.STAGE,
        vocabulary.requests(config.vocabulary, ingested, tokenized),
    )
    encoded = yield tensors.STAGE, tensors.requests(config.tensors, tokenized, words)
    (trained,) = yield (
        train.STAGE,
        train.requests(
            config.train, config.tensors, config.tokenize, ingested, words, encoded, vectors
        ),
    )
    (evaluated,) = yield (
        evaluate.STAGE,
        evaluate.requests(config.evaluate, ingested, tokenized, encoded, trained),
    )
    (linear,) = yield baseline.STAGE, baseline.requests(ingested, words, encoded)
    (repeated,) = yield duplicates.STAGE, duplicates.requests(ingested)
    candidate = promote.candidate(config.evaluate, ingested, trained, generated=spec.generated)
    decided: list[Manifest] = []
    while not decided:
        register = read_register(spec.store)
        opponent = promote.known_opponent(register, candidate, config.promote)
        if opponent is not None and promote.to_measure(opponent, candidate):
            (measured,) = yield (
                promote.MEASURE,
                promote.measure_requests(spec.store, opponent.model, config.evaluate, ingested),
            )
            opponent = opponent.model_copy(update={"accuracy": measured.stats["accuracy"]})
        decided = yield (
            promote.STAGE,
            promote.requests(config.promote, candidate, opponent, register, evaluated),
        )
    yield (
        report.STAGE,
        report.requests(
            config.evaluate,
            title=spec.title,
            generated=spec.generated,
            ingested=ingested,
            vocabulary=words,
            trained=trained,
            evaluated=evaluated,
            decided=decided[0],
            baseline=linear,
            duplicates=repeated,
            encoded=encoded,
        ),
    )


def sample_config(spec: RunSpec) -> SampleConfig:
    """Return how to generate reviews; a preset that does not say so needs a data folder."""
    if spec.config.sample is None:
        raise ConfigError(
            f"The preset {spec.preset} needs reviews: name their folder with --data. The preset "
            "sample generates its own."
        )
    return spec.config.sample


def rows_of(ingested: Sequence[Manifest]) -> dict[str, dict[str, int]]:
    """Add up the valid reviews of all input files, per split and class."""
    rows: dict[str, dict[str, int]] = {}
    for manifest in ingested:
        for split, classes in manifest.stats["rows"].items():
            total = rows.setdefault(split, {"negative": 0, "positive": 0})
            for name, count in classes.items():
                total[name] += count
    return rows
