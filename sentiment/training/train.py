"""Stage ``train``: encoded reviews become a model bundle."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from sentiment.model.batches import BatchSource
from sentiment.model.bundle import BundleConfig, save_bundle
from sentiment.model.config import TrainConfig
from sentiment.model.devices import arithmetic, choose_device, denormals_as_zero, keep_freed_memory
from sentiment.model.lstm import SentimentLSTM
from sentiment.model.profile import Profile
from sentiment.progress import Progress, silent
from sentiment.text.cleaning import TokenizeConfig
from sentiment.text.tensors import EncodedReviews, TensorsConfig
from sentiment.text.vocabulary import Vocabulary
from sentiment.training.checkpoints import Checkpoints
from sentiment.training.distributed import Team, own_device, team_of
from sentiment.training.excerpts import Excerpts
from sentiment.training.history import HISTORY, Record, discard
from sentiment.training.trainer import Fit
from sentiment.training.vectors import Coverage, coverage, read_vectors

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Material:
    """All that the processes of a training share."""

    train_tensors: Sequence[Path]
    validation_tensors: Sequence[Path]
    vocabulary: Path
    vectors: Sequence[Path]
    train: TrainConfig
    tensors: TensorsConfig
    checkpoints: Path


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
    progress: Progress = silent,
    record: Record = discard,
) -> dict[str, Any]:
    """Train a model and write its bundle, with the weights of the lowest validation loss.

    The same inputs and seed give the same bytes on one machine's CPU, whether training went through
    or was stopped and went on from ``checkpoints``, a folder that outlives a killed run. The
    embedding starts with ``vectors`` (files of ``find_vectors``) where a word has one. Returns
    the best validation figures and the model's size. Raises TrainingError when a loss is not a
    number or explodes, and when one of several processes dies.
    """
    device = choose_device(train.device)
    material = Material(
        train_tensors, validation_tensors, vocabulary, vectors, train, tensors, checkpoints
    )
    with team_of(train.processes, device, fit_model, material) as team:
        fit, profile, facts = fit_model(team, material, progress, record)
    config = BundleConfig(tokenize=tokenize, tensors=tensors, train=train)
    save_bundle(out, config, vocabulary, fit.model, profile)
    history = pa.Table.from_pylist(fit.history, schema=HISTORY)
    pq.write_table(history, out / "history.parquet", compression="zstd")
    return facts


def fit_model(
    team: Team, material: Material, progress: Progress = silent, record: Record = discard
) -> tuple[Fit, Profile, dict[str, Any]]:
    """Train in one process of a team; return the fit, the reviews' profile, and the facts."""
    train, tensors = material.train, material.tensors
    device = own_device(team, choose_device(train.device))
    keep_freed_memory()
    gpus = [device] if device.type == "cuda" else []
    with (
        arithmetic(train.precision, device),
        torch.random.fork_rng(devices=gpus),
        denormals_as_zero(),
    ):
        torch.manual_seed(train.seed)
        learning = EncodedReviews.load(material.train_tensors)
        held_out = EncodedReviews.load(material.validation_tensors)
        words = Vocabulary.load(material.vocabulary)
        model = SentimentLSTM(train.model, len(words))
        vectors = material.vectors
        covered = set_vectors(model, vectors, material.vocabulary) if vectors else None
        model.to(device)
        source = BatchSource(
            learning,
            padding=train.padding,
            max_length=longest_review(train, tensors),
            device=device,
        )
        if model.ngrams is not None:
            model.ngrams.fit_idf(source)
        validation = BatchSource(
            held_out, padding=train.padding, max_length=tensors.max_length, device=device
        )
        excerpts = Excerpts(train.excerpts, words, device) if train.excerpts else None
        fit = Fit(model, train, source, validation, held_out.labels, excerpts, team, record)
        best = fit.run(Checkpoints(material.checkpoints, keep=train.keep_checkpoints), progress)
    profile = Profile.of(learning.labels, learning.words, learning.unknown)
    return (
        fit,
        profile,
        {
            "rows": len(learning),
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "steps": fit.step,
            "best_step": fit.best_step,
            "validation_loss": best.loss if best else None,
            "validation_accuracy": best.accuracy if best else None,
            "device": device.type,
            "vectors": asdict(covered) if covered else None,
            "seconds_before": fit.seconds_before,
        },
    )


def longest_review(train: TrainConfig, tensors: TensorsConfig) -> int:
    """Return the number of tokens of the longest review in a training step."""
    return min(train.max_length or tensors.max_length, tensors.max_length)


def set_vectors(model: SentimentLSTM, vectors: Sequence[Path], vocabulary: Path) -> Coverage:
    """Put the vectors of known words into the embedding, and log how many words that are."""
    words, weight = Vocabulary.load(vocabulary), model.embedding.weight.data
    ids, found = read_vectors(vectors, words, weight.shape[1])
    weight[torch.from_numpy(ids).long()] = torch.from_numpy(found)
    covered = coverage(ids, vocabulary)
    log.info(
        "word vectors for %.1f %% of the vocabulary, %.1f %% of the training tokens",
        100 * covered.words,
        100 * covered.tokens,
    )
    return covered
