"""Stage ``train``: encoded reviews become a model bundle."""

import logging
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from sentiment.model.batches import BatchSource
from sentiment.model.bundle import BundleConfig, save_bundle
from sentiment.model.config import TrainConfig
from sentiment.model.devices import (
    arithmetic,
    choose_device,
    denormals_as_zero,
    keep_freed_memory,
)
from sentiment.model.inference import EarlyExit, probabilities, score, score_parts
from sentiment.model.lstm import SentimentLSTM
from sentiment.model.measures import best_threshold
from sentiment.model.profile import Profile
from sentiment.progress import Progress, silent
from sentiment.text.cleaning import TokenizeConfig
from sentiment.text.tensors import EncodedReviews, TensorsConfig, join_shards
from sentiment.text.vocabulary import Vocabulary
from sentiment.training.calibration import fit_early_exits
from sentiment.training.checkpoints import Checkpoints
from sentiment.training.class_weights import class_weights
from sentiment.training.distributed import ProcessGroup, device_of, process_group
from sentiment.training.history import HISTORY, Record, discard
from sentiment.training.sentences import SentenceSampler
from sentiment.training.trainer import Trainer
from sentiment.training.vectors import Coverage, coverage, read_vectors

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingData:
    """The files and settings that all processes of a training share.

    ``out`` is the stage's working folder, at the same path in all of them. What the processes of a
    machine share there needs a folder of that machine, by its number in the group.
    """

    train_tensors: Sequence[Path]
    validation_tensors: Sequence[Path]
    vocabulary: Path
    vectors: Sequence[Path]
    train: TrainConfig
    tensors: TensorsConfig
    checkpoints: Path
    out: Path


# The model, its history, the training reviews' profile, and stats.
Trained: TypeAlias = tuple[SentimentLSTM, list[dict[str, Any]], Profile, dict[str, Any]]


def train_model(
    train_tensors: Sequence[Path],
    validation_tensors: Sequence[Path],
    vocabulary: Path,
    vectors: Sequence[Path] = (),
    *,
    train: TrainConfig,
    tensors: TensorsConfig,
    tokenize: TokenizeConfig,
    out: Path,
    checkpoints: Path,
    generated: bool = False,
    progress: Progress = silent,
    record: Record = discard,
) -> dict[str, Any]:
    """Train a model and write its bundle, with the weights of the lowest validation loss.

    On one machine's CPU the same inputs and seed give the same bytes, also when training was
    interrupted and resumed from ``checkpoints``, a folder that outlives a killed run. ``vectors``
    (files of ``find_vectors``) initialise the embedding of the words they contain. ``generated``
    says whether the reviews are generated, and is only written into the bundle. ``record`` is
    called with each row of the history. Where torchrun started the processes, each calls this, and
    rank 0 alone writes the bundle. Returns the best validation result and the model's size.
    Raises TrainingError when a loss is not finite or explodes, and when one of several processes
    dies.
    """
    data = TrainingData(
        train_tensors, validation_tensors, vocabulary, vectors, train, tensors, checkpoints, out
    )
    device = choose_device(train.device)
    with process_group(train.processes, device, out, train_in_group, data) as group:
        model, history, profile, stats = train_in_group(group, data, progress, record)
    if group.rank > 0:
        return stats
    config = BundleConfig(
        threshold=stats["threshold"],
        early_exits=stats["early_exits"],
        generated=generated,
        tokenize=tokenize,
        tensors=tensors,
        train=train,
    )
    save_bundle(out, config, vocabulary, model, profile)
    table = pa.Table.from_pylist(history, schema=HISTORY)
    pq.write_table(table, out / "history.parquet", compression="zstd")
    return stats


def train_in_group(
    group: ProcessGroup, data: TrainingData, progress: Progress = silent, record: Record = discard
) -> Trained:
    """Train as one process of a group. The processes of a machine share the files of reviews."""
    folder = data.out / f".encoded-{group.machine}"
    try:
        if group.local_rank == 0:
            folder.mkdir(parents=True)
            join_shards(data.train_tensors, folder / "train")
            join_shards(data.validation_tensors, folder / "validation")
        group.wait()
        return _train(group, data, folder, progress, record)
    finally:
        if group.local_rank == 0:
            shutil.rmtree(folder, ignore_errors=True)


def _train(
    group: ProcessGroup, data: TrainingData, reviews: Path, progress: Progress, record: Record
) -> Trained:
    train, tensors = data.train, data.tensors
    device = device_of(group, choose_device(train.device))
    keep_freed_memory()
    gpus = [device] if device.type == "cuda" else []
    with (
        arithmetic(train.precision, device),
        torch.random.fork_rng(devices=gpus),
        denormals_as_zero(),
    ):
        torch.manual_seed(train.seed)
        train_reviews = EncodedReviews.mapped(reviews / "train")
        validation_reviews = EncodedReviews.mapped(reviews / "validation")
        words = Vocabulary.load(data.vocabulary)
        model = SentimentLSTM(train.model, len(words))
        vectors = data.vectors
        covered = set_vectors(model, vectors, words, data.vocabulary) if vectors else None
        model.to(device)
        source = BatchSource(
            train_reviews,
            padding=train.padding,
            max_length=longest_review(train, tensors),
            device=device,
            cut=tensors.cut,
        )
        if model.ngrams is not None:
            model.ngrams.fit_idf(source)
        weights = class_weights(train.class_weight, train_reviews.labels)
        validation = BatchSource(
            validation_reviews, padding=train.padding, max_length=tensors.max_length, device=device
        )
        sentences = SentenceSampler(train.sentences, words, device) if train.sentences else None
        trainer = Trainer(
            model,
            train,
            source,
            validation,
            validation_reviews.labels,
            sentences,
            group,
            record,
            weights,
        )
        best = trainer.run(Checkpoints(data.checkpoints, keep=train.keep_checkpoints), progress)
        threshold, early_exits = train.threshold, tuple[EarlyExit, ...]()
        if best is not None:
            labels = validation_reviews.labels
            with arithmetic("float32", device):  # as in scoring
                logits = score(model, validation)
                parts = score_parts(model, validation) if train.model.exits else None
            if isinstance(threshold, str):
                threshold = best_threshold(threshold, labels, probabilities(logits))
            if parts is not None:
                weights = None if weights is None else weights[labels]
                early_exits = fit_early_exits(parts, logits, labels, threshold, weights)
    profile = Profile.of(train_reviews.labels, train_reviews.words, train_reviews.unknown)
    return (
        model,
        trainer.history,
        profile,
        {
            "rows": len(train_reviews),
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "steps": trainer.step,
            "best_step": trainer.best_step,
            "validation_loss": best.loss if best else None,
            "validation_accuracy": best.accuracy if best else None,
            "threshold": threshold,
            "early_exits": [each.model_dump() for each in early_exits],
            "device": device.type,
            "vectors": asdict(covered) if covered else None,
            "seconds_before": trainer.seconds_before,
        },
    )


def longest_review(train: TrainConfig, tensors: TensorsConfig) -> int:
    """Return the number of tokens of the longest review in a training step."""
    return min(train.max_length or tensors.max_length, tensors.max_length)


def set_vectors(
    model: SentimentLSTM, vectors: Sequence[Path], words: Vocabulary, vocabulary: Path
) -> Coverage:
    """Copy the vectors of known words into the embedding, and log how many there are."""
    weight = model.embedding.weight.data
    ids, found = read_vectors(vectors, words, weight.shape[1])
    weight[torch.from_numpy(ids).long()] = torch.from_numpy(found)
    covered = coverage(ids, vocabulary)
    log.info(
        "word vectors for %.1f %% of the vocabulary, %.1f %% of the training tokens",
        100 * covered.words,
        100 * covered.tokens,
    )
    return covered
