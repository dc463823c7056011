"""The training step of the article's model: the notebook's way beside the pipeline's.

    python benchmarks/train.py --data DIR

Both ways first have to give the same losses; only then are times reported.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

# As the pipeline does it, and before PyTorch is loaded: threads wait asleep.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import numpy.typing as npt
import torch
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.compare import Disagreement
from benchmarks.machine import describe_machine, machine_lines
from benchmarks.plain_training import PlainLSTM, PlainTraining
from benchmarks.preprocess import reviews_of, verdict
from flows.config import load_config
from sentiment.batches import POOL, BatchSource, training_order
from sentiment.cleaning import TokenizeConfig, clean
from sentiment.devices import arithmetic, choose_device, denormals_as_zero
from sentiment.errors import SentimentError
from sentiment.fitting import make_optimiser, training_step
from sentiment.memory import keep_freed_memory
from sentiment.model import SentimentLSTM
from sentiment.recipe import ModelConfig, TrainConfig
from sentiment.remembering import RememberingTokenizer
from sentiment.tensors import EncodedReviews, offsets_of

EPOCH = 800_000  # the article's training reviews
BARS = {"cpu": 3.0, "cuda": 5.0}
# Dense TFLOP/s by the makers' data sheets: float32, TF32, bfloat16.
PEAKS = {
    "H100": (67.0, 494.7, 989.4),
    "H200": (67.0, 494.7, 989.4),
    "A100": (19.5, 156.0, 312.0),
    "L40S": (91.6, 183.0, 362.0),
    "A10": (31.2, 62.5, 125.0),
    "L4": (30.3, 60.0, 121.0),
}
LEFT, BUCKETS = "left", "buckets"  # how the pipeline pads: see benchmarks/README.md


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    keep_freed_memory()
    try:
        with denormals_as_zero():
            result = measure(options)
    except (Disagreement, SentimentError) as error:
        Console(stderr=True, highlight=False).print(f"Error: {error}", markup=False)
        return 1
    show(result, Console(width=100, highlight=False))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__ and __doc__.splitlines()[0])
    gpu = torch.cuda.is_available()
    add = parser.add_argument
    add("--data", type=Path, help="folder (or file) of reviews, for their lengths; else made up")
    add("--device", choices=["auto", "cpu", "cuda"], default="auto")
    # On a CPU batch and vocabulary are a quarter of the article's: so is then each part's work.
    add("--batch-size", type=int, default=400 if gpu else 100)
    add("--vocabulary", type=int, default=225_964 if gpu else 56_491)
    add("--embedding", type=int, default=400)
    add("--hidden", type=int, default=512)
    add("--max-length", type=int, default=200)
    add("--steps", type=int, default=POOL if gpu else 4, help=f"in a repeat, at most {POOL}")
    add("--repeats", type=int, default=3)
    add(
        "--precision",
        nargs="+",
        choices=["float32", "tf32", "bf16"],
        default=["float32", "tf32", "bf16"] if gpu else ["float32"],
        help="of the pipeline's steps; the plain ones are as PyTorch makes them",
    )
    add("--peak", type=float, help="TFLOP/s of the device, where its name is not known")
    add("--json", type=Path, metavar="FILE", help="write the figures here too")
    options = parser.parse_args(arguments)
    if not 1 <= options.steps <= POOL:
        parser.error(f"--steps goes from 1 to {POOL}")
    return options


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Check and time both ways; return all figures as a JSON object."""
    device = choose_device(options.device)
    machine = describe_machine()
    model = article_model(options)
    reviews = made_reviews(options)
    check_agreement(model, reviews, options.vocabulary, device)
    tokens = int(np.minimum(reviews.lengths, options.max_length).sum()) / len(reviews)
    ways: dict[str, Way] = {"plain": plain_way(model, reviews, options, device)}
    for precision in options.precision:
        for name, padding in ((LEFT, "left"), (BUCKETS, "right")):
            config = recipe(model, padding, precision, options.batch_size)
            ways[f"{name}, {precision}"] = pipeline_way(config, reviews, options, device)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    memory: dict[str, int] = {}
    for way in ways.values():  # not counted: what is set up once
        way()
    for _ in range(options.repeats):
        for name, way in ways.items():
            before = reset_memory(device)
            seconds[name].append(way() / options.steps)
            memory[name] = peak_memory(device) - before
    return {
        "benchmark": "train",
        "machine": machine,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "settings": {
            **{name: getattr(options, name) for name in SETTINGS},
            "data": options.data.name if options.data else "made-up lengths",
            "mean_tokens": tokens,
        },
        "ways": [row(name, seconds, tokens, memory[name], model, options, device) for name in ways],
    }


SETTINGS = ("batch_size", "vocabulary", "embedding", "hidden", "max_length", "steps", "repeats")
Way = Callable[[], float]  # takes the steps of a repeat and returns their seconds


def article_model(options: argparse.Namespace) -> ModelConfig:
    """Return the preset's model, at the sizes asked for."""
    sizes = {"embedding_size": options.embedding, "hidden_size": options.hidden}
    return load_config("article").train.model.model_copy(update=sizes)


def recipe(model: ModelConfig, padding: str, precision: str, batch_size: int) -> TrainConfig:
    changes = {
        "model": model,
        "padding": padding,
        "precision": precision,
        "batch_size": batch_size,
    }
    return load_config("article").train.model_copy(update=changes)


def made_reviews(options: argparse.Namespace) -> EncodedReviews:
    """Return enough reviews for one pool of batches, with rare and frequent words.

    Their lengths are those of the reviews in ``--data``, else log-normal with a mean of 93 tokens.
    """
    count = POOL * options.batch_size
    rng = np.random.default_rng(1)
    if options.data is None:
        lengths = np.maximum(1, rng.lognormal(4.32, 0.65, count)).astype(np.int64)
    else:
        tokenizer = RememberingTokenizer()
        texts = islice(reviews_of(options.data, count), count)
        cleaned = [clean(text, TokenizeConfig()) for _, text in texts]
        lengths = np.array([len(words) for words in tokenizer.tokenize_all(cleaned)], np.int64)
        lengths = np.resize(lengths, count)  # repeated where there are too few
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
    optimiser = make_optimiser(model, config)
    batches = chosen_batches(source, config, options.steps)

    def take_steps() -> float:
        started = time.perf_counter()
        with arithmetic(config.precision, device):
            for places in batches:
                training_step(model, source.take(places), optimiser, config)
            synchronise(device)
        return time.perf_counter() - started

    return take_steps


def chosen_batches(
    source: BatchSource, config: TrainConfig, steps: int
) -> list[npt.NDArray[np.int64]]:
    """Return ``steps`` of an epoch's batches, evenly spread from the shortest to the longest."""
    order = training_order(
        source.lengths,
        config.batch_size,
        seed=1,
        epoch=0,
        by_length=config.padding == "right",
    )
    order.sort(key=lambda places: int(source.lengths[places].sum()))
    return [order[int((step + 0.5) * len(order) / steps)] for step in range(steps)]


def check_agreement(
    model: ModelConfig, reviews: EncodedReviews, vocabulary: int, device: torch.device
) -> None:
    """Raise Disagreement unless both ways give the same losses, dropout off.

    Padded on the left: in each of two steps. In length buckets, where no padding is read: that of
    the plain network on each review alone.
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
    config = recipe(still, "left", "float32", len(places))
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
        optimiser = make_optimiser(ours, config)
        for number in (1, 2):
            expected = float(next(training.steps()))
            taken = training_step(ours, left.take(places), optimiser, config)
            compare(f"of step {number}", expected, float(taken))


def alone_loss(
    plain: PlainLSTM, reviews: EncodedReviews, place: int, device: torch.device
) -> float:
    start, end = reviews.offsets[place : place + 2]
    ids = torch.from_numpy(reviews.ids[start:end].astype(np.int64))[None].to(device)
    with torch.no_grad():
        chance = float(plain(ids)[0])
    return -float(np.log(chance if reviews.labels[place] else 1 - chance))


def compare(what: str, expected: float, found: float) -> None:
    if not abs(found - expected) <= 1e-4:
        raise Disagreement(f"The loss {what} is {found:.6f}, the plain way's {expected:.6f}.")


def row(
    name: str,
    seconds: dict[str, list[float]],
    tokens: float,
    memory: int,
    model: ModelConfig,
    options: argparse.Namespace,
    device: torch.device,
) -> dict[str, Any]:
    """Return the figures of one way."""
    step = median(seconds[name])
    ratio = median(seconds["plain"]) / step
    bar = None if name == "plain" else BARS[device.type]
    work = step_work(model, tokens * options.batch_size)
    peak = options.peak or known_peak(name, device)
    return {
        "way": name,
        "seconds_a_step": seconds[name],
        "steps_per_second": 1 / step,
        "reviews_per_second": options.batch_size / step,
        "ratio": ratio,
        "bar": bar,
        "met": None if bar is None else ratio >= bar,
        "epoch_seconds": EPOCH / options.batch_size * step,
        "tflops": work / step / 1e12,
        "share_of_peak": work / step / 1e12 / peak if peak else None,
        "peak_memory_mib": memory >> 20 if device.type == "cuda" else None,
    }


def step_work(model: ModelConfig, tokens: float) -> float:
    """Return the floating-point operations that a step's real tokens need, padding left out.

    Two for each weight of the LSTM forward, twice that backward.
    """
    inputs = [model.embedding_size] + [model.hidden_size] * (model.layers - 1)
    weights = sum(4 * model.hidden_size * (size + model.hidden_size) for size in inputs)
    return 6.0 * weights * tokens


def known_peak(way: str, device: torch.device) -> float | None:
    """Return the device's TFLOP/s for a way's arithmetic, None for one that is not known.

    Of its own accord PyTorch lets cuDNN's LSTM use TF32, so the plain way does.
    """
    if device.type != "cuda":
        return None
    precision = "tf32" if way == "plain" else way.rpartition(", ")[2]
    name = torch.cuda.get_device_name(device)
    found = [peaks for part, peaks in PEAKS.items() if part in name.replace("-", " ").split()]
    return found[0][["float32", "tf32", "bf16"].index(precision)] if found else None


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def reset_memory(device: torch.device) -> int:
    """Forget the peak so far; return what the other ways hold at this moment."""
    if device.type != "cuda":
        return 0
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def peak_memory(device: torch.device) -> int:
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0


def show(result: dict[str, Any], console: Console) -> None:
    """Print all figures."""
    for line in machine_lines(result["machine"]):
        console.print(line)
    settings = result["settings"]
    console.print(
        f"On {result['device']}, {result['threads']} threads: batches of {settings['batch_size']}, "
        f"vocabulary {settings['vocabulary']:,}, embedding {settings['embedding']}, two layers of "
        f"{settings['hidden']}, {settings['mean_tokens']:.0f} tokens a review from "
        f"{settings['data']}. Medians of {settings['repeats']} times {settings['steps']} steps, "
        "alternating. Same losses.\n"
    )
    table = Table("Training step", box=box.SIMPLE)
    for name in ("s", "reviews/s", "ratio", "bar", "met?", "epoch, s", "TFLOP/s", "of peak", "MiB"):
        table.add_column(name, justify="right")
    for way in result["ways"]:
        table.add_row(
            way["way"],
            f"{1 / way['steps_per_second']:.4g}",
            f"{way['reviews_per_second']:,.0f}",
            f"{way['ratio']:.1f}",
            "" if way["bar"] is None else f">= {way['bar']:.0f}",
            verdict(way["met"]),
            f"{way['epoch_seconds']:,.0f}",
            f"{way['tflops']:.3g}",
            "" if way["share_of_peak"] is None else f"{way['share_of_peak']:.1%}",
            "" if way["peak_memory_mib"] is None else f"{way['peak_memory_mib']:,}",
        )
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
