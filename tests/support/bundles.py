"""Small models: one of random weights, and one trained by the real stage functions."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from sentiment.data.ingest import IngestConfig, ingest_file
from sentiment.evaluation.ablation import ablation
from sentiment.evaluation.metrics import accuracy_by_unknown, measure
from sentiment.model.batches import BatchSource
from sentiment.model.bundle import Bundle, BundleConfig, save_bundle
from sentiment.model.bundle_files import CONFIG, write_checksums
from sentiment.model.config import ModelConfig, TrainConfig
from sentiment.model.inference import probabilities, score
from sentiment.model.lstm import SentimentLSTM
from sentiment.progress import Progress, silent
from sentiment.text.cleaning import TokenizeConfig
from sentiment.text.tensors import EncodedReviews, TensorsConfig, encode_shard
from sentiment.text.tokenize import tokenize_shard
from sentiment.text.vocabulary import VocabularyConfig, build_vocabulary
from sentiment.training.history import HISTORY
from sentiment.training.session import training_session
from sentiment.training.train import train_model
from tests.support.reviews import as_line, made_up_reviews, rows_of, write_bz2

MODEL = ModelConfig(embedding_size=8, hidden_size=8)
TRAIN = TrainConfig(model=MODEL, epochs=3, batch_size=16, learning_rate=0.02, device="cpu")
TENSORS = TensorsConfig(max_length=40)
TOKENIZE = TokenizeConfig()


def write_random_bundle(folder: Path, **model: Any) -> Path:
    """Write a bundle of random weights that knows a few words; ``model`` are its settings."""
    vocabulary = folder / "words.parquet"
    words = ["_PAD", "_UNK", "a", "lovely", "lamp", ",", "awful"]
    pq.write_table(pa.table({"word": words, "count": [1] * len(words)}), vocabulary)
    settings = {
        "embedding_size": 6,
        "hidden_size": 5,
        "ngrams": {"buckets": 64, "norm_smoothing": 4.0},
    }
    train = TrainConfig.model_validate({"model": settings | model})
    torch.manual_seed(1)
    weights = SentimentLSTM(train.model, len(words))
    with torch.no_grad():
        for parameter in weights.parameters():
            parameter.normal_(std=0.5)
    config = BundleConfig(
        tokenize=TokenizeConfig(), tensors=TensorsConfig(max_length=40), train=train
    )
    save_bundle(folder, config, vocabulary, weights)
    vocabulary.unlink()
    return folder


def with_early_exit(folder: Path) -> Path:
    """Write a bundle of random weights, parts of which answer some texts alone."""
    exits = [{"factors": [1.0], "limit": 0.5}, {"factors": [1.0, 1.0], "limit": 0.4}]
    return with_settings(write_random_bundle(folder), early_exits=exits)


def with_settings(folder: Path, **changes: Any) -> Path:
    """Change settings of a bundle, such as its threshold; None removes one."""
    settings = json.loads((folder / CONFIG).read_bytes()) | changes
    settings = {name: value for name, value in settings.items() if value is not None}
    (folder / CONFIG).write_text(json.dumps(settings))
    write_checksums(folder)
    return folder


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
    stats: dict[str, Any]  # what the stage train returned


def train_small(root: Path) -> Trained:
    """Train on 240 reviews, 30 validate; 90 reviews in two shards, a few mislabelled, test."""

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
    stats = train_model(
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
        stats=stats,
    )


def train_again(
    trained: Trained,
    out: Path,
    checkpoints: Path | None = None,
    progress: Progress = silent,
    **changes: Any,
) -> dict[str, Any]:
    """Train on the shared reviews as the stage does; return what it returns."""
    out.mkdir(parents=True, exist_ok=True)
    arguments: dict[str, Any] = {
        "train_tensors": trained.train_tensors,
        "validation_tensors": trained.validation_tensors,
        "vocabulary": trained.vocabulary,
        "train": TrainConfig(**{**TRAIN.model_dump(), **changes}),
        "tensors": TENSORS,
        "tokenize": TOKENIZE,
        "checkpoints": checkpoints or out / "checkpoints",
    }
    with training_session(**arguments) as more:
        return train_model(**arguments, **more, out=out, progress=progress)


def history(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of a bundle's history."""
    names = HISTORY.names
    return [dict(zip(names, row, strict=True)) for row in rows_of(folder / "history.parquet")]


def scores(
    bundle: Path, reviews: EncodedReviews, padding: str = "right"
) -> npt.NDArray[np.float64]:
    """Return the logits that a bundle gives to encoded reviews."""
    source = BatchSource(
        reviews, padding=padding, max_length=TENSORS.max_length, device=torch.device("cpu")
    )
    return score(Bundle.load(bundle).model, source)


def evaluated_metrics(rows: int, seed: int, *, branches: int = 2) -> dict[str, Any]:
    """Return figures of made-up answers, with all that an evaluation writes."""
    random = np.random.default_rng(seed)
    labels = (random.random(rows) < 0.55).astype(np.uint8)
    logits = random.normal(np.where(labels, 2.0, -2.0), 1.4, (branches, rows)).T
    return metrics_of(labels, logits, random.integers(1, 250, rows), random.random(rows) ** 8)


NGRAMS = {
    "positive": [{"text": "at first", "weight": 2.5, "reviews": 31}],
    "negative": [{"text": "not <b>good", "weight": -3.25, "reviews": 1_204}],
}


def metrics_of(
    labels: npt.NDArray[np.uint8],
    logits: npt.NDArray[np.float64],
    words: npt.NDArray[np.int64],
    unknown: npt.NDArray[np.float64],
) -> dict[str, Any]:
    """Return the metrics of logits (reviews, branches) and shares of unknown words."""
    factors = [0.6] * logits.shape[1]
    chances = probabilities(logits @ factors)
    return {
        **measure(labels, chances, words),
        "unknown_share": float(unknown.mean()),
        "by_unknown": accuracy_by_unknown((chances >= 0.5) == (labels == 1), unknown),
        "branches": ablation(logits, labels, ("lstm", "ngrams")[: len(factors)], factors),
        "ece_unscaled": 0.123,
        "ngrams": None if logits.shape[1] == 1 else NGRAMS,
        "suspected_labels": 3,
    }
