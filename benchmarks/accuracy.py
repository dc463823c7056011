"""Accuracy on the same reviews: the pipeline's model, TF-IDF + logistic regression, fastText.

    python benchmarks/accuracy.py --data DIR

All models read the pipeline's tokens and choose their settings on the validation reviews.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from rich import box
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.support.command import execute
from benchmarks.support.machine import describe_machine, machine_lines
from benchmarks.support.rivals import Labels, Result, Split, choose, fasttext, tfidf
from flows.config.presets import load_config
from flows.steps import drive
from sentiment.evaluation.metrics import wilson_interval
from tasks.manifest import Manifest
from tasks.run.spec import RunSpec
from tasks.stage import Request, Stage, shards_of, split_of
from tasks.store import Store

RIVALS = {"TF-IDF + regression": tfidf, "fastText 2-grams": fasttext}


def main(arguments: Sequence[str] | None = None) -> int:
    return execute(parse(arguments), measure, show, width=100)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__ and __doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of labelled reviews")
    parser.add_argument("--preset", default="balanced")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument(
        "--storage", type=Path, default=Path("storage"), help="storage folder, kept"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write the results to this file"
    )
    return parser.parse_args(arguments)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run the pipeline, train the other models, and compare them on the test reviews."""
    messages = Console(stderr=True, highlight=False)
    machine = describe_machine()
    store = Store(options.storage)
    store.prepare()
    spec = RunSpec(options.preset, load_config(options.preset, options.set), options.data, store)
    manifests = build(spec, messages)
    splits = {
        name: Split.load(tokens_of(store, manifests, name))
        for name in ("train", "validation", "test")
    }
    labels = splits["test"].labels
    ways = [ours(store, manifests, options.preset)]
    for name, train in RIVALS.items():
        messages.print(f"training {name} ...")
        ways.append(choose(name, train(splits["train"]), splits["validation"], splits["test"]))
    return {
        "benchmark": "accuracy",
        "machine": machine,
        "reviews": {name: len(split.tokens) for name, split in splits.items()},
        "ways": [summary(way, labels, ways[0]) for way in ways],
    }


def build(
    spec: RunSpec, messages: Console, *, until: str = "evaluate"
) -> dict[str, list[Manifest]]:
    """Run the pipeline's stages up to ``until``, without Prefect; reuse stored results."""

    def answer(stage: Stage, requests: Sequence[Request]) -> list[Manifest]:
        messages.print(f"{stage.name} ...")
        return [spec.store.build(request).manifest for request in requests]

    return drive(spec, answer, until=until)


def tokens_of(store: Store, manifests: dict[str, list[Manifest]], split: str) -> list[Path]:
    """Return a split's token files, in the order of its shards."""
    pairs = zip(shards_of(manifests["ingest"]), manifests["tokenize"], strict=True)
    return [
        store.root / tokens.output("tokens.parquet").path
        for (_, shard), tokens in pairs
        if split_of(shard) == split
    ]


def ours(store: Store, manifests: dict[str, list[Manifest]], preset: str) -> Result:
    """Return the pipeline's predictions; its times are from when the stages ran."""
    (trained,), (evaluated,) = manifests["train"], manifests["evaluate"]
    path = store.root / evaluated.output("predictions.parquet").path
    probabilities = pq.read_table(path)["probability"].to_numpy()
    return Result(
        name=f"preset {preset}",
        chosen="best validation loss",
        validation_accuracy=trained.stats["validation_accuracy"],
        predicted=(probabilities >= 0.5).astype(np.uint8),
        seconds=trained.seconds,
        rate=len(probabilities) / evaluated.seconds,
        size=sum(artifact.size for artifact in trained.outputs),
    )


def summary(way: Result, labels: Labels, first: Result) -> dict[str, Any]:
    """Return a model's results as JSON values; ``lead`` is how much better the pipeline is."""
    right = way.predicted == labels
    return {
        "name": way.name,
        "chosen": way.chosen,
        "validation_accuracy": way.validation_accuracy,
        "accuracy": float(right.mean()),
        "interval": wilson_interval(int(right.sum()), len(labels)),
        "lead": float((first.predicted == labels).mean() - right.mean()),
        "training_seconds": way.seconds,
        "reviews_per_second": way.rate,
        "bytes": way.size,
    }


def show(result: dict[str, Any], console: Console) -> None:
    """Print the results."""
    for line in machine_lines(result["machine"]):
        console.print(line)
    counts = ", ".join(f"{count:,} {name}" for name, count in result["reviews"].items())
    console.print(f"Reviews: {counts}\n")
    table = Table(box=box.SIMPLE)
    table.add_column("Model", no_wrap=True)
    for name in ("validation", "test", "95 % interval", "train, s", "reviews/s", "MiB"):
        table.add_column(name, justify="right")
    for way in result["ways"]:
        low, high = way["interval"]
        table.add_row(
            way["name"],
            f"{way['validation_accuracy']:.4f}",
            f"{way['accuracy']:.4f}",
            f"{low:.3f} to {high:.3f}",
            f"{way['training_seconds']:,.0f}",
            f"{way['reviews_per_second']:,.0f}",
            f"{way['bytes'] / 2**20:,.0f}",
        )
    console.print(table)
    for way in result["ways"][1:]:
        lead = f"{100 * way['lead']:+.2f} points"
        console.print(f"{lead} over {way['name']} ({way['chosen']} chosen on validation)")


if __name__ == "__main__":
    sys.exit(main())
