"""The article's training step in two ways, each in its own process, and a check that they agree."""

import argparse
import time
from collections.abc import Callable
from contextlib import nullcontext
from itertools import islice

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

from benchmarks.preprocess import reviews_of
from benchmarks.support.compare import Disagreement
from benchmarks.support.plain_training import PlainLSTM, PlainTraining
from flows.config.presets import load_config
from sentiment.model.batches import POOL, BatchSource, training_order
from sentiment.model.config import ModelConfig, TrainConfig
from sentiment.model.devices import arithmetic, choose_device, denormals_as_zero, keep_freed_memory
from sentiment.model.lstm import SentimentLSTM
from sentiment.text.cached_tokenizer import CachedTokenizer
from sentiment.text.cleaning import TokenizeConfig, clean_column
from sentiment.text.tensors import EncodedReviews, offsets_of
from sentiment.training.step import make_optimizer, training_step

PLAIN = "plain"
PADDINGS = {"left": "left", "buckets": "right"}  # how the pipeline pads: benchmarks/README.md

Way = Callable[[], float]  # takes a repeat's steps and returns their seconds
_prepared: list[Way] = []  # of this process


def way_names(options: argparse.Namespace) -> list[str]:
    """Return the plain way, then the pipeline's: one for each padding and precision."""
    return [PLAIN] + [f"{padding}, {p}" for p in options.precision for padding in PADDINGS]


def prepare(name: str, options: argparse.Namespace) -> None:
    """Set this process up for a way; the pipeline's use the pipeline's memory settings."""
    device = choose_device(options.device)
    model, reviews = article_model(options), made_reviews(options)
    if name == PLAIN:
        _prepared.append(plain_way(model, reviews, options, device))
        return
    keep_freed_memory()
    padding, _, precision = name.partition(", ")
    config = train_config(model, PADDINGS[padding], precision, options.batch_size)
    _prepared.append(pipeline_way(config, reviews, options, device))


def take_turn(name: str, options: argparse.Namespace) -> tuple[float, int]:
    """Take a repeat's steps in its process; return seconds per step and peak GPU memory in bytes.

    The memory is 0 on a CPU.
    """
    device = choose_device(options.device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with nullcontext() if name == PLAIN else denormals_as_zero():
        seconds = _prepared[0]() / options.steps
    return seconds, torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0


def article_model(options: argparse.Namespace) -> ModelConfig:
    """Return the article's model in the given sizes."""
    sizes = {"embedding_size": options.embedding, "hidden_size": options.hidden}
    return load_config("article").train.model.model_copy(update=sizes)


def train_config(model: ModelConfig, padding: str, precision: str, batch_size: int) -> TrainConfig:
    changes = {
        "model": model,
        "padding": padding,
        "precision": precision,
        "batch_size": batch_size,
    }
    return load_config("article").train.model_copy(update=changes)


def made_reviews(options: argparse.Namespace) -> EncodedReviews:
    """Return enough reviews for one pool of batches, with rare and frequent words.

    Their lengths come from the reviews in ``--data``, else log-normal with a mean of 93 tokens.
    """
    count = POOL * options.batch_size
    rng = np.random.default_rng(1)
    if options.data is None:
        lengths = np.maximum(1, rng.lognormal(4.32, 0.65, count)).astype(np.int64)
    else:
        texts = pa.array([text for _, text in islice(reviews_of(options.data, count), count)])
        words = CachedTokenizer().tokenize(clean_column(texts, TokenizeConfig()))
        lengths = pc.list_value_length(words).to_numpy().astype(np.int64)
        lengths = np.resize(lengths, count)  # repeated if too few
    lengths = np.minimum(lengths, options.max_length)
    # Zipf's law: a word's frequency falls with its rank.
    ids = np.exp(rng.random(int(lengths.sum())) * np.log(options.vocabulary - 1)).astype(np.int32)
    return EncodedReviews(
        ids=ids,
        offsets=offsets_of(lengths),
        labels=rng.integers(0, 2, count).astype(np.uint8),
        rows=np.arange(count),
        words=lengths.astype(np.int32),
        unknown=np.zeros(count, np.int32),
    )


def plain_way(
    model: ModelConfig, reviews: EncodedReviews, options: argparse.Namespace, device: torch.device
) -> Way:
    training = PlainTraining(
        PlainLSTM(model, options.vocabulary),
        reviews,
        max_length=options.max_length,
        batch_size=options.batch_size,
        device=device,
    )

    def take_steps() -> float:
        started = time.perf_counter()
        for _ in islice(training.steps(), options.steps):
            pass
        synchronise(device)
        return time.perf_counter() - started

    return take_steps


def pipeline_way(
    config: TrainConfig, reviews: EncodedReviews, options: argparse.Namespace, device: torch.device
) -> Way:
    source = BatchSource(
        reviews, padding=config.padding, max_length=options.max_length, device=device
    )
    model = SentimentLSTM(config.model, options.vocabulary).to(device).train()
    optimizer = make_optimizer(model, config)
    batches = chosen_batches(source, config, options.steps)

    def take_steps() -> float:
        started = time.perf_counter()
        with arithmetic(config.precision, device):
            for places in batches:
                training_step(model, source.take(places), optimizer, config)
            synchronise(device)
        return time.perf_counter() - started

    return take_steps


def chosen_batches(
    source: BatchSource, config: TrainConfig, steps: int
) -> list[npt.NDArray[np.int64]]:
    """Return ``steps`` batches of an epoch, evenly spread from the shortest to the longest."""
    by_length = config.padding == "right"
    order = sorted(
        training_order(source.lengths, config.batch_size, seed=1, epoch=0, by_length=by_length),
        key=lambda places: int(source.lengths[places].sum()),
    )
    return [order[int((step + 0.5) * len(order) / steps)] for step in range(steps)]


def check_agreement(
    model: ModelConfig, reviews: EncodedReviews, vocabulary: int, device: torch.device
) -> None:
    """Raise Disagreement unless both ways give the same losses, without dropout.

    Padded on the left: the losses of two steps. In length buckets, where no padding is read: the
    plain network's loss on each review alone.
    """
    places = np.arange(16)
    few = EncodedReviews(
        ids=reviews.ids[: reviews.offsets[16]],
        offsets=reviews.offsets[:17],
        **{name: getattr(reviews, name)[:16] for name in ("labels", "rows", "words", "unknown")},
    )
    longest = int(few.lengths.max()) + 3
    still = model.model_copy(update={"layer_dropout": 0.0, "head_dropout": 0.0})
    torch.manual_seed(1)
    plain = PlainLSTM(still, vocabulary).to(device)
    ours = SentimentLSTM(still, vocabulary).to(device)
    ours.load_state_dict(plain.weights())
    config = train_config(still, "left", "float32", len(places))
    training = PlainTraining(
        plain, few, max_length=longest, batch_size=16, device=device, shuffle=False
    )
    with arithmetic("float32", device):
        alone = [alone_loss(plain, few, place, device) for place in range(16)]
        right = BatchSource(few, padding="right", max_length=longest, device=device).take(places)
        found = torch.nn.functional.binary_cross_entropy_with_logits(
            ours(right.ids, right.lengths), right.labels
        )
        compare("in length buckets", float(np.mean(alone)), float(found.detach()))
        left = BatchSource(few, padding="left", max_length=longest, device=device)
        optimizer = make_optimizer(ours, config)
        for number in (1, 2):
            expected = float(next(training.steps()))
            taken = training_step(ours, left.take(places), optimizer, config)
            compare(f"of step {number}", expected, float(taken))


def alone_loss(
    plain: PlainLSTM, reviews: EncodedReviews, place: int, device: torch.device
) -> float:
    start, end = reviews.offsets[place : place + 2]
    ids = torch.from_numpy(reviews.ids[start:end].astype(np.int64))[None].to(device)
    with torch.no_grad():
        probability = float(plain(ids)[0])
    return -float(np.log(probability if reviews.labels[place] else 1 - probability))


def compare(what: str, expected: float, found: float) -> None:
    if not abs(found - expected) <= 1e-4:
        raise Disagreement(f"The loss {what} is {found:.6f}, the plain way's {expected:.6f}.")


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
