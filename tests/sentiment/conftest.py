"""Reviews made up for the tests, and a tiny model trained on them by the real stage functions."""

import bz2
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import settings

from sentiment.data.ingest import REVIEWS, IngestConfig, ingest_file
from sentiment.evaluation.comparison import contributions
from sentiment.evaluation.metrics import accuracy_by_unknown, measure
from sentiment.model.config import ModelConfig, TrainConfig
from sentiment.model.inference import probabilities
from sentiment.progress import Progress, silent
from sentiment.text.cleaning import TokenizeConfig
from sentiment.text.tensors import TensorsConfig, encode_shard
from sentiment.text.tokenize import COUNTS, TOKENS, tokenize_shard
from sentiment.text.vocabulary import VocabularyConfig, build_vocabulary
from sentiment.training.train import train_model

# How long an example takes says nothing about the code: other work may run beside the tests.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# Models as small as here run faster on one thread, above all beside other work.
torch.set_num_threads(1)

MODEL = ModelConfig(embedding_size=8, hidden_size=8)
TRAIN = TrainConfig(model=MODEL, epochs=3, batch_size=16, learning_rate=0.02, device="cpu")
TENSORS = TensorsConfig(max_length=40)
TOKENIZE = TokenizeConfig()

_THINGS = ("kettle", "lamp", "novel", "tent", "record", "blender", "puzzle", "scarf")
_PRAISE = ("lovely", "superb", "brilliant", "charming")
_BLAME = ("dreadful", "shoddy", "awful", "useless")


def made_up_reviews(count: int, seed: int, mislabelled: float = 0.0) -> list[tuple[int, str]]:
    """Return labels and texts; a word of praise or blame decides, but for a share of wrong labels.

    Lengths vary from 6 to about 60 words.
    """
    chance = random.Random(seed)
    reviews = []
    for number in range(count):
        label = number % 2
        thing, verdict = chance.choice(_THINGS), chance.choice((_BLAME, _PRAISE)[label])
        filler = " and then some more" * chance.choice((0, 0, 1, 2, 12))
        text = f"The {thing}: number {number} of many, a {verdict} {thing}{filler}."
        reviews.append((1 - label if chance.random() < mislabelled else label, text))
    return reviews


def as_line(label: int, text: str) -> bytes:
    """Return a review as a line of a fastText file."""
    return f"__label__{label + 1} {text}".encode()


def write_bz2(path: Path, lines: Iterable[bytes]) -> Path:
    path.write_bytes(bz2.compress(b"".join(line + b"\n" for line in lines)))
    return path


def write_reviews(path: Path, reviews: Sequence[tuple[int, int, str]]) -> Path:
    """Write a shard of reviews (row, label, text)."""
    return _write(path, reviews, REVIEWS)


def write_tokens(path: Path, reviews: Sequence[tuple[int, int, Sequence[str]]]) -> Path:
    """Write a shard of tokens (row, label, tokens)."""
    return _write(path, reviews, TOKENS)


def write_counts(path: Path, tokens: Sequence[str]) -> Path:
    """Write the counts of a shard whose tokens are these, by plain loops."""
    seen = list(dict.fromkeys(tokens))
    return _write(path, [(word, tokens.count(word), tokens.index(word)) for word in seen], COUNTS)


def _write(path: Path, rows: Sequence[Sequence[Any]], schema: pa.Schema) -> Path:
    columns = [pa.array([row[at] for row in rows], field.type) for at, field in enumerate(schema)]
    pq.write_table(pa.table(columns, schema=schema), path)
    return path


def rows_of(path: Path) -> list[tuple[Any, ...]]:
    """Return a Parquet file's rows as tuples."""
    return [tuple(row.values()) for row in pq.read_table(path).to_pylist()]


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder, by relative path, with its bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def evaluated_metrics(rows: int, seed: int, *, parts: int = 2) -> dict[str, Any]:
    """Return figures of made-up answers, with all that an evaluation writes."""
    random = np.random.default_rng(seed)
    labels = (random.random(rows) < 0.55).astype(np.uint8)
    logits = random.normal(np.where(labels, 2.0, -2.0), 1.4, (parts, rows)).T
    return metrics_of(labels, logits, random.integers(1, 250, rows), random.random(rows) ** 8)


def metrics_of(
    labels: npt.NDArray[np.uint8],
    logits: npt.NDArray[np.float64],
    words: npt.NDArray[np.int64],
    unknown: npt.NDArray[np.float64],
) -> dict[str, Any]:
    """Return what an evaluation writes of logits (reviews, parts) and shares of unknown words."""
    factors = [0.6] * logits.shape[1]
    chances = probabilities(logits @ factors)
    return {
        **measure(labels, chances, words),
        "unknown_share": float(unknown.mean()),
        "by_unknown": accuracy_by_unknown((chances >= 0.5) == (labels == 1), unknown),
        "parts": contributions(logits, labels, ("lstm", "ngrams")[: len(factors)], factors),
        "ece_unscaled": 0.123,
    }


@dataclass(frozen=True)
class Trained:
    """The files of one small run through the stages ingest to train."""

    vocabulary: Path
    train_tensors: list[Path]
    validation_tensors: list[Path]
    test_reviews: list[Path]
    test_tokens: list[Path]
    test_tensors: list[Path]
    bundle: Path
    facts: dict[str, Any]  # what the stage train returned


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Train on 240 reviews, 30 validate; 90 reviews in two shards, a few mislabelled, test."""
    root = tmp_path_factory.mktemp("trained")

    def folder(name: str) -> Path:
        path = root / name
        path.mkdir()
        return path

    shards: dict[str, list[Path]] = {}
    sizes = {"train": (240, 0.0), "validation": (30, 0.0), "test": (90, 0.1)}
    for seed, (split, (count, mislabelled)) in enumerate(sizes.items()):
        reviews = made_up_reviews(count, seed, mislabelled)
        source = write_bz2(root / f"{split}.ft.txt.bz2", (as_line(*review) for review in reviews))
        out = folder(split)
        config = IngestConfig(shard_size=60)
        ingest_file(source, split=split, limit=None, ingest=config, out=out)  # type: ignore[arg-type]
        shards[split] = sorted(out.glob(f"{split}-*.parquet"))

    tokens: dict[str, list[Path]] = {}
    for split, paths in shards.items():
        tokens[split] = [folder(f"tokens-{path.stem}") for path in paths]
        for path, out in zip(paths, tokens[split], strict=True):
            tokenize_shard(path, tokenize=TOKENIZE, out=out)

    vocabulary = root / "vocabulary.parquet"
    counts = [out / "counts.parquet" for out in tokens["train"]]
    build_vocabulary(counts, vocabulary=VocabularyConfig(), out=root)

    tensors: dict[str, list[Path]] = {}
    for split, folders in tokens.items():
        for source in folders:
            encode_shard(source / "tokens.parquet", vocabulary, tensors=TENSORS, out=source)
        tensors[split] = [source / "tensors.parquet" for source in folders]

    bundle = folder("bundle")
    facts = train_model(
        tensors["train"],
        tensors["validation"],
        vocabulary,
        train=TRAIN,
        tensors=TENSORS,
        tokenize=TOKENIZE,
        out=bundle,
        checkpoints=folder("checkpoints"),
    )
    return Trained(
        vocabulary=vocabulary,
        train_tensors=tensors["train"],
        validation_tensors=tensors["validation"],
        test_reviews=shards["test"],
        test_tokens=[source / "tokens.parquet" for source in tokens["test"]],
        test_tensors=tensors["test"],
        bundle=bundle,
        facts=facts,
    )


def train_again(
    trained: Trained,
    out: Path,
    checkpoints: Path | None = None,
    progress: Progress = silent,
    **changes: Any,
) -> dict[str, Any]:
    """Train on the shared reviews with a changed recipe; return what the stage returns."""
    out.mkdir(parents=True, exist_ok=True)
    return train_model(
        trained.train_tensors,
        trained.validation_tensors,
        trained.vocabulary,
        train=TrainConfig(**{**TRAIN.model_dump(), **changes}),
        tensors=TENSORS,
        tokenize=TOKENIZE,
        out=out,
        checkpoints=checkpoints or out / "checkpoints",
        progress=progress,
    )
