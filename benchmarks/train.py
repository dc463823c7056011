"""The training step of the article's model: the notebook's against the pipeline's.

    python benchmarks/train.py --data DIR

Both ways must give the same losses before any time is reported.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import flows  # first: it sets how PyTorch's threads wait  # noqa: F401, I001

import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.support.command import execute
from benchmarks.support.machine import describe_machine, machine_lines, workers
from benchmarks.preprocess import verdict
from benchmarks.support.training_ways import (
    article_model,
    check_agreement,
    made_reviews,
    prepare,
    take_turn,
    way_names,
)
from sentiment.model.batches import POOL
from sentiment.model.devices import choose_device, denormals_as_zero
from sentiment.model.config import ModelConfig

EPOCH = 800_000  # the article's training reviews
BARS = {"cpu": 3.0, "cuda": 5.0}  # for steps with the reviews' own lengths
# Dense TFLOP/s from the data sheets: float32, TF32, bfloat16.
PEAKS = {
    "H100": (67.0, 494.7, 989.4),
    "H200": (67.0, 494.7, 989.4),
    "A100": (19.5, 156.0, 312.0),
    "L40S": (91.6, 183.0, 362.0),
    "A10": (31.2, 62.5, 125.0),
    "L4": (30.3, 60.0, 121.0),
}


def main(arguments: Sequence[str] | None = None) -> int:
    return execute(parse(arguments), measure, show, width=100)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__ and __doc__.splitlines()[0])
    gpu = torch.cuda.is_available()
    add = parser.add_argument
    add("--data", type=Path, help="folder or file of reviews, for their lengths; default: made up")
    add("--device", choices=["auto", "cpu", "cuda"], default="auto")
    # On a CPU, batch and vocabulary are a quarter of the article's, and so is each part's work.
    add("--batch-size", type=int, default=400 if gpu else 100)
    add("--vocabulary", type=int, default=225_964 if gpu else 56_491)
    add("--embedding", type=int, default=400)
    add("--hidden", type=int, default=512)
    add("--max-length", type=int, default=200)
    add("--steps", type=int, default=POOL if gpu else 4, help=f"steps in a repeat, at most {POOL}")
    add("--repeats", type=int, default=3)
    add(
        "--precision",
        nargs="+",
        choices=["float32", "tf32", "bf16"],
        default=["float32", "tf32", "bf16"] if gpu else ["float32"],
        help="of the pipeline's steps; the plain ones use PyTorch's defaults",
    )
    add("--peak", type=float, help="TFLOP/s of a device that is not in the list")
    add("--json", type=Path, metavar="FILE", help="also write the results to this file")
    options = parser.parse_args(arguments)
    if not 1 <= options.steps <= POOL:
        parser.error(f"--steps must be from 1 to {POOL}")
    return options


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Check and time both ways; return the results as a JSON object."""
    device = choose_device(options.device)
    machine = describe_machine()
    model = article_model(options)
    reviews = made_reviews(options)
    with denormals_as_zero():
        check_agreement(model, reviews, options.vocabulary, device)
    tokens = int(np.minimum(reviews.lengths, options.max_length).sum()) / len(reviews)
    seconds, memory = take_turns(options)
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
        "ways": [
            row(name, seconds, tokens, memory[name], model, options, device) for name in seconds
        ],
    }


SETTINGS = ("batch_size", "vocabulary", "embedding", "hidden", "max_length", "steps", "repeats")


def take_turns(options: argparse.Namespace) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Time all ways in turn; return the seconds per step of each repeat, and the peak memory."""
    names = way_names(options)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    memory = dict.fromkeys(names, 0)
    with ExitStack() as open_ones:
        pools = {name: open_ones.enter_context(workers(1)) for name in names}
        for name, pool in pools.items():
            pool.submit(prepare, name, options).result()
            pool.submit(
                take_turn, name, options
            ).result()  # not counted: it includes one-time set-up
        for _ in range(options.repeats):
            for name, pool in pools.items():
                taken, peak = pool.submit(take_turn, name, options).result()
                seconds[name].append(taken)
                memory[name] = max(memory[name], peak)
    return seconds, memory


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
    bar = BARS[device.type] if name.startswith("buckets") else None
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
    """Return the floating-point operations of a step's real tokens, without padding.

    Two for each weight of the LSTM forward, twice that backward.
    """
    inputs = [model.embedding_size] + [model.hidden_size] * (model.layers - 1)
    weights = sum(4 * model.hidden_size * (size + model.hidden_size) for size in inputs)
    return 6.0 * weights * tokens


def known_peak(way: str, device: torch.device) -> float | None:
    """Return the device's TFLOP/s for a way's arithmetic; None if unknown.

    PyTorch lets cuDNN's LSTM use TF32 by default, so the plain way does.
    """
    if device.type != "cuda":
        return None
    precision = "tf32" if way == "plain" else way.rpartition(", ")[2]
    name = torch.cuda.get_device_name(device)
    found = [peaks for part, peaks in PEAKS.items() if part in name.replace("-", " ").split()]
    return found[0][["float32", "tf32", "bf16"].index(precision)] if found else None


def show(result: dict[str, Any], console: Console) -> None:
    """Print the results."""
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
