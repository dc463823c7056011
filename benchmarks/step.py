"""What a preset's training step spends its time on, on the CPU.

    python benchmarks/step.py --preset balanced --data DIR

Steps are timed as they are, and then again under PyTorch's profiler.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import flows  # first: it sets how PyTorch's threads wait  # noqa: F401, I001

import torch
from rich import box
from rich.console import Console
from rich.table import Table
from torch.profiler import ProfilerActivity, profile

from benchmarks.support.command import execute
from benchmarks.support.machine import describe_machine, machine_lines
from benchmarks.support.preset_steps import Steps, preset_steps
from sentiment.model.devices import denormals_as_zero, keep_freed_memory

# Operators that do the LSTM's matrix products, with its activations.
LSTM = ("mkldnn_rnn_layer", "lstm", "addmm", "::mm", "::bmm")
PARTS = {
    "LSTM": LSTM,
    "dropout masks": ("bernoulli", "native_dropout", "rand"),
    "optimizer": ("adam", "Optimizer"),
    "norm of the gradients": ("linalg_vector_norm",),
    "gradient of the embeddings": ("embedding_dense_backward",),
}
REST = "everything else"
WARM_UP = 5


def main(arguments: Sequence[str] | None = None) -> int:
    return execute(parse(arguments), measure, show)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__ and __doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of labelled reviews")
    parser.add_argument("--preset", default="balanced")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--storage", type=Path, help="reuse the results in this storage folder")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write the results to this file"
    )
    return parser.parse_args(arguments)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return seconds a step, and those of each part, as a JSON object."""
    settings = [*options.set, "train.device=cpu"]
    with TemporaryDirectory() as folder, denormals_as_zero():
        storage = options.storage or Path(folder)
        steps = preset_steps(options.preset, settings, options.data, storage, options.steps)
        keep_freed_memory()
        for places in steps.batches[:WARM_UP]:
            steps.take(places)
        seconds = [timed(steps, places) for places in steps.batches]
        with profile(activities=[ProfilerActivity.CPU]) as profiled:
            for places in steps.batches:
                steps.take(places)
    return {
        "benchmark": "step",
        "machine": describe_machine(),
        "threads": torch.get_num_threads(),
        "preset": options.preset,
        "steps": options.steps,
        "tokens": steps.tokens,
        "seconds": median(seconds),
        "parts": parts_of(
            {event.key: event.self_cpu_time_total / 1e6 for event in profiled.key_averages()}
        ),
    }


def timed(steps: Steps, places: Any) -> float:
    started = time.perf_counter()
    steps.take(places)
    return time.perf_counter() - started


def parts_of(seconds: dict[str, float]) -> dict[str, float]:
    """Add up operators' seconds by part; return the shares, the largest first but for the rest."""
    parts = dict.fromkeys([*PARTS, REST], 0.0)
    for operator, taken in seconds.items():
        names = [name for name, marks in PARTS.items() if any(mark in operator for mark in marks)]
        parts[names[0] if names else REST] += taken
    total = sum(parts.values())
    rest = parts.pop(REST)
    ordered = sorted(parts.items(), key=lambda part: -part[1])
    return {name: taken / total for name, taken in [*ordered, (REST, rest)]}


def show(result: dict[str, Any], console: Console) -> None:
    """Print the results."""
    for line in machine_lines(result["machine"]):
        console.print(line)
    console.print(
        f"Preset {result['preset']}, {result['steps']} steps of {result['tokens']:,.0f} tokens on "
        f"average, {result['threads']} threads: {1e3 * result['seconds']:,.0f} ms a step "
        "(median).\n"
    )
    table = Table("part", "share of a step", box=box.SIMPLE, padding=(0, 1, 0, 0))
    for name, share in result["parts"].items():
        table.add_row(name, f"{share:.1%}")
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
