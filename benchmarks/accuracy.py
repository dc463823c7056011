"""Accuracy on the same reviews: the pipeline's model, TF-IDF + logistic regression, fastText."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.support.machine import describe_machine, machine_lines
from benchmarks.support.rivals import Labels, Result, Split, choose, fasttext, tfidf
from flows.config.presets import load_config
from flows.steps import drive
from sentiment.evaluation.metrics import wilson_interval
from tasks.manifest import Manifest
from tasks.run_spec import RunSpec
from tasks.stage import Request, Stage, shards_of, split_of
from tasks.store import Store

RIVALS = {"TF-IDF + regression": tfidf, "fastText 2-grams": fasttext}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of labelled reviews")
    parser.add_argument("--preset", default="balanced")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--storage", type=Path, default=Path("storage"), help="results are kept")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    options = parser.parse_args(arguments)
    console = Console(highlight=False)
    machine = describe_machine()
    store = Store(options.storage)
    store.prepare()
    spec = RunSpec(options.preset, load_config(options.preset, options.set), options.data, store)
    manifests = build(spec, console)
    splits = {
        name: Split.load(tokens_of(store, manifests, name))
        for name in ("train", "validation", "test")
    }
    labels = splits["test"].labels
    ways = [ours(store, manifests, options.preset)]
    for name, train in RIVALS.items():
        console.print(f"training {name} ...")
        ways.append(choose(name, train(splits["train"]), splits["validation"], splits["test"]))
    result = {
        "benchmark": "accuracy",
        "machine": machine,
        "reviews": {name: len(split.tokens) for name, split in splits.items()},
        "ways": [figures(way, labels, ways[0]) for way in ways],
    }
    show(result, console)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


def build(spec: RunSpec, console: Console) -> dict[str, list[Manifest]]:
    """Run the pipeline's stages up to the evaluation, without Prefect; what is stored is used."""

    def answer(stage: Stage, requests: Sequence[Request]) -> list[Manifest]:
        console.print(f"{stage.name} ...")
        return [spec.store.build(request).manifest for request in requests]

    return drive(spec, answer, until="evaluate")


def tokens_of(store: Store, manifests: dict[str, list[Manifest]], split: str) -> list[Path]:
    """Return the files of a split's tokens, in the order of its shards."""
    pairs = zip(shards_of(manifests["ingest"]), manifests["tokenize"], strict=True)
    return [
        store.root / tokens.output("tokens.parquet").path
        for (_, shard), tokens in pairs
        if split_of(shard) == split
    ]


def ours(store: Store, manifests: dict[str, list[Manifest]], preset: str) -> Result:
    """Return the pipeline's answers; its times are those noted when the stages ran."""
    (trained,), (evaluated,) = manifests["train"], manifests["evaluate"]
    path = store.root / evaluated.output("predictions.parquet").path
    chances = pq.read_table(path)["probability"].to_numpy()
    return Result(
        name=f"preset {preset}",
        chosen="best validation loss",
        validation_accuracy=trained.stats["validation_accuracy"],
        predicted=(chances >= 0.5).astype(np.uint8),
        seconds=trained.seconds,
        rate=len(chances) / evaluated.seconds,
        size=sum(artifact.size for artifact in trained.outputs),
    )


def figures(way: Result, labels: Labels, first: Result) -> dict[str, Any]:
    """Return a way's figures as JSON values; ``lead`` is by how much the pipeline is better."""
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
    """Print all figures."""
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
