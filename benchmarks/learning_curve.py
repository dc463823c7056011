"""The test accuracy of a preset for more and more training reviews, beside a linear model's.

    python benchmarks/learning_curve.py --data DIR --picture docs/images/learning-curve.png

A model is trained on the first reviews of the training file, as many as each of ``--sizes`` says,
and on all. Beside it is the stage ``baseline``, a linear model trained on the same reviews. All are
measured on the same test reviews, and all results are kept in ``--storage``.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from rich import box
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.accuracy import build
from benchmarks.support.command import execute
from benchmarks.support.machine import describe_machine, machine_lines
from flows.config.presets import load_config
from sentiment.evaluation.comparison import compare
from sentiment.evaluation.metrics import wilson_interval
from tasks.manifest import Manifest
from tasks.run.spec import RunSpec
from tasks.store import Store

SIZES = (5_000, 10_000, 20_000, 40_000)


def main(arguments: Sequence[str] | None = None) -> int:
    return execute(parse(arguments), measure, show)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__ and __doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of labelled reviews")
    parser.add_argument("--preset", default="balanced")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=SIZES, help="training reviews, beside all"
    )
    parser.add_argument(
        "--storage", type=Path, default=Path("storage"), help="storage folder, kept"
    )
    parser.add_argument("--picture", type=Path, metavar="FILE", help="also draw it as a PNG")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write the results to this file"
    )
    return parser.parse_args(arguments)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Train on each number of reviews; draw the picture; return the results."""
    messages = Console(stderr=True, highlight=False)
    store = Store(options.storage)
    store.prepare()
    points: list[dict[str, Any]] = []
    for size in (*sorted(options.sizes), None):
        messages.print(f"{f'{size:,}' if size else 'all'} training reviews")
        limit = f"ingest.train_limit={size or 'null'}"
        config = load_config(options.preset, [*options.set, limit])
        spec = RunSpec(options.preset, config, options.data, store)
        points.append(point(store, build(spec, messages, until="baseline")))
    result = {
        "benchmark": "learning_curve",
        "machine": describe_machine(),
        "preset": options.preset,
        "points": points,
    }
    if options.picture:
        draw(points, options.preset, options.picture)
    return result


def point(store: Store, done: dict[str, list[Manifest]]) -> dict[str, Any]:
    """Return the accuracies of one model and of the linear one beside it."""
    (trained,), (evaluated,), (baseline,) = (done[n] for n in ("train", "evaluate", "baseline"))
    ours = pq.read_table(store.root / evaluated.output("predictions.parquet").path)
    linear = pq.read_table(store.root / baseline.output("predictions.parquet").path)
    metrics = json.loads((store.root / evaluated.output("metrics.json").path).read_bytes())
    positive = ours["label"].to_numpy() == 1
    right = (ours["probability"].to_numpy() >= metrics["threshold"]) == positive
    beside = (linear["logit"].to_numpy() >= 0) == positive
    return {
        "train": trained.stats["rows"],
        "test": len(positive),
        "model": accuracy(right),
        "linear": accuracy(beside),
        **compare(right, beside),
        "seconds": trained.seconds,
    }


def accuracy(right: npt.NDArray[np.bool_]) -> dict[str, Any]:
    correct = int(right.sum())
    return {
        "accuracy": correct / right.size,
        "interval": wilson_interval(correct, right.size),
    }


def show(result: dict[str, Any], console: Console) -> None:
    """Print the results."""
    console.print("\n".join(machine_lines(result["machine"])))
    points = result["points"]
    console.print(f"{points[0]['test']:,} test reviews; accuracy in %, with 95 % intervals\n")
    table = Table(box=box.SIMPLE)
    for name in ("training reviews", result["preset"], "linear model", "lead", "p", "train, s"):
        table.add_column(name, justify="right")
    for each in points:
        table.add_row(
            f"{each['train']:,}",
            *(_with_interval(each[name]) for name in ("model", "linear")),
            f"{100 * each['difference']:+.2f}",
            f"{each['p']:.2g}",
            f"{each['seconds']:,.0f}",
        )
    console.print(table)


def _with_interval(measured: dict[str, Any]) -> str:
    low, high = (100 * end for end in measured["interval"])
    return f"{100 * measured['accuracy']:.2f} ({low:.1f} to {high:.1f})"


def draw(points: Sequence[dict[str, Any]], preset: str, path: Path) -> None:
    """Draw both accuracies over the number of training reviews, on a logarithmic axis."""
    from matplotlib.figure import Figure

    from sentiment.reports.charts import BLUE, ORANGE, WIDE, house_style

    with house_style("learning-curve"):
        figure = Figure(figsize=WIDE, layout="constrained")
        axes = figure.subplots()
        sizes = [each["train"] for each in points]
        ways = (("model", f"preset {preset}", BLUE, "o-"), ("linear", "linear", ORANGE, "s--"))
        for name, label, colour, line in ways:
            found = [100 * each[name]["accuracy"] for each in points]
            ends = np.array([[100 * end for end in each[name]["interval"]] for each in points]).T
            axes.plot(sizes, found, line, color=colour, label=label)
            axes.fill_between(sizes, *ends, color=colour, alpha=0.15, linewidth=0)
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.set_xticks([], minor=True)
        axes.set_xlabel("Training reviews")
        axes.set_ylabel("Test accuracy, %")
        axes.grid(visible=True)
        axes.legend(loc="lower right")
        figure.savefig(path, dpi=160, facecolor="white")


if __name__ == "__main__":
    sys.exit(main())
