"""Everything about training that needs a GPU, as one command of some minutes.

    python benchmarks/gpu.py --data DIR --json gpu.json

First the article's step beside the notebook's, then a preset's step by precision, then whole runs.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import flows  # first: it sets how PyTorch's threads wait  # noqa: F401, I001

import pyarrow.parquet as pq
import torch
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks import train
from benchmarks.accuracy import build
from benchmarks.support.command import execute
from benchmarks.support.machine import describe_machine, in_fresh_process, machine_lines
from benchmarks.support.preset_steps import prepared, preset_steps
from flows.config.presets import load_config
from sentiment.errors import ConfigError
from sentiment.model.devices import arithmetic
from tasks.run.spec import RunSpec

STEPS, REPEATS = 32, 5
SMALL = [
    "--batch-size",
    "4",
    "--vocabulary",
    "50",
    "--embedding",
    "4",
    "--hidden",
    "4",
    "--steps",
    "2",
    "--repeats",
    "1",
]
PRECISIONS = ("float32", "tf32", "bf16")


def main(arguments: Sequence[str] | None = None) -> int:
    return execute(parse(arguments), measure, show, width=100)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__ and __doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of labelled reviews")
    parser.add_argument(
        "--presets", nargs="+", default=["gpu", "article"], help="each is run up to evaluate"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu: to try it")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write the results to this file"
    )
    return parser.parse_args(arguments)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return all figures as a JSON object. Each part is measured in fresh processes."""
    if options.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("PyTorch sees no CUDA GPU here. Check the driver with nvidia-smi.")
    settings = [*options.set, f"train.device={options.device}"]
    article = ["--data", str(options.data), "--device", options.device]
    article += SMALL if options.device == "cpu" else []
    result: dict[str, Any] = {"benchmark": "gpu", "machine": describe_machine()}
    say("the article's step ...")
    result["article"] = train.measure(train.parse(article))
    with tempfile.TemporaryDirectory() as storage:
        say(f"steps of {options.presets[0]} ...")
        precisions = PRECISIONS if options.device == "cuda" else PRECISIONS[:1]
        result["steps"] = [
            in_fresh_process(
                time_steps, options.presets[0], settings, options.data, Path(storage), precision
            )
            for precision in precisions
        ]
        result["runs"] = []
        for preset in options.presets:
            say(f"a run of {preset} ...")
            rounded = ["train.precision=float32"] if options.device == "cpu" else []
            result["runs"].append(
                in_fresh_process(
                    run_preset, preset, [*settings, *rounded], options.data, Path(storage)
                )
            )
    return result


def say(what: str) -> None:
    Console(stderr=True, highlight=False).print(what)


def time_steps(
    preset: str, settings: Sequence[str], data: Path, storage: Path, precision: str
) -> dict[str, Any]:
    """Time a preset's training steps on the reviews; a step that waits for the GPU is an error."""
    overrides = [*settings, f"train.precision={precision}"]
    steps = preset_steps(preset, overrides, data, storage, STEPS)
    config = steps.config
    seconds = []
    device = torch.device(config.device)
    with arithmetic(precision, device):
        for repeat in range(REPEATS + 1):
            if device.type == "cuda":
                torch.cuda.synchronize()
                torch.cuda.set_sync_debug_mode("error" if repeat else "default")
            started = time.perf_counter()
            for places in steps.batches:
                steps.take(places)
            if device.type == "cuda":
                torch.cuda.set_sync_debug_mode("default")
                torch.cuda.synchronize()
            seconds.append((time.perf_counter() - started) / STEPS)
    step = median(seconds[1:])  # the first repeat sets things up
    return {
        "preset": preset,
        "precision": precision,
        "seconds_a_step": seconds,
        "reviews_per_second": config.batch_size / step,
        "tokens_per_second": steps.tokens / step,
        "peak_memory_mib": gpu_memory(),
    }


def run_preset(preset: str, settings: Sequence[str], data: Path, storage: Path) -> dict[str, Any]:
    """Run a preset up to evaluate; return its figures and the history of its losses."""
    spec = RunSpec(preset, load_config(preset, settings), data, prepared(storage))
    done = build(spec, Console(stderr=True, highlight=False), until="evaluate")
    (trained,), (evaluated,) = done["train"], done["evaluate"]
    history = pq.read_table(spec.store.root / trained.output("history.parquet").path)
    metrics = json.loads(
        (spec.store.root / evaluated.output("metrics.json").path).read_text("utf-8")
    )
    return {
        "preset": preset,
        "seconds": {name: sum(each.seconds for each in found) for name, found in done.items()},
        "rows": trained.stats["rows"],
        "parameters": trained.stats["parameters"],
        "steps": trained.stats["steps"],
        "validation_accuracy": trained.stats["validation_accuracy"],
        **{name: metrics[name] for name in ("accuracy", "accuracy_interval", "loss")},
        "history": history.to_pylist(),
        "peak_memory_mib": gpu_memory(),
    }


def gpu_memory() -> int | None:
    """Return the most GPU memory that this process's tensors held, in MiB; None without a GPU."""
    return torch.cuda.max_memory_allocated() >> 20 if torch.cuda.is_available() else None


def show(result: dict[str, Any], console: Console) -> None:
    """Print the results."""
    train.show(result["article"], console)
    steps = table("Steps", "ms", "reviews/s", "tokens/s", "GPU MiB")
    for each in result["steps"]:
        steps.add_row(
            f"{each['preset']}, {each['precision']}",
            f"{1000 * median(each['seconds_a_step'][1:]):.2f}",
            f"{each['reviews_per_second']:,.0f}",
            f"{each['tokens_per_second']:,.0f}",
            "" if each["peak_memory_mib"] is None else f"{each['peak_memory_mib']:,}",
        )
    console.print(steps)
    runs = table("Run", "reviews", "train, s", "evaluate, s", "accuracy", "95 %", "loss", "GPU MiB")
    for each in result["runs"]:
        low, high = each["accuracy_interval"]
        runs.add_row(
            each["preset"],
            f"{each['rows']:,}",
            f"{each['seconds']['train']:.0f}",
            f"{each['seconds']['evaluate']:.1f}",
            f"{each['accuracy']:.4f}",
            f"{low:.3f} to {high:.3f}",
            f"{each['loss']:.3f}",
            "" if each["peak_memory_mib"] is None else f"{each['peak_memory_mib']:,}",
        )
    console.print(runs)
    for each in result["runs"]:
        validated = [row for row in each["history"] if row["validation_loss"] is not None]
        curve = ", ".join(
            f"{row['step']:,}: {row['train_loss']:.3f} {row['validation_loss']:.3f}"
            for row in validated
        )
        console.print(f"Losses of {each['preset']} (step: training, validation) {curve}")
    console.print(machine_lines(result["machine"])[0])


def table(first: str, *names: str) -> Table:
    made = Table(first, box=box.SIMPLE)
    for name in names:
        made.add_column(name, justify="right")
    return made


if __name__ == "__main__":
    sys.exit(main())
