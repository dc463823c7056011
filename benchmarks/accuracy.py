"""Accuracy on the same reviews: the pipeline's model, TF-IDF + logistic regression, fastText.

    python benchmarks/accuracy.py --data DIR --seeds 1 2 3

All models read the pipeline's tokens and choose their settings on the validation reviews. A second
table shows how well each seed's model is calibrated, its accuracy on the longest tenth of the test
reviews, and how many short phrases it gets right.
"""

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

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.support.command import execute
from benchmarks.support.machine import describe_machine, machine_lines
from benchmarks.support.phrases import NEGATIVE, POSITIVE
from benchmarks.support.rivals import Labels, Result, Split, choose, fasttext, tfidf
from flows.config.presets import load_config
from flows.steps import drive
from sentiment.classifier import Classifier
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
        "--seeds", type=int, nargs="+", default=[1], help="train one model for each"
    )
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
    ways, seeds = [], []
    for seed in options.seeds:
        config = load_config(options.preset, [*options.set, f"train.seed={seed}"])
        manifests = build(RunSpec(options.preset, config, options.data, store), messages)
        ways.append(ours(store, manifests, f"{options.preset}, seed {seed}"))
        seeds.append({"seed": seed, **details(store, manifests)})
    splits = {
        name: Split.load(tokens_of(store, manifests, name))
        for name in ("train", "validation", "test")
    }
    labels = splits["test"].labels
    for name, train in RIVALS.items():
        messages.print(f"training {name} ...")
        ways.append(choose(name, train(splits["train"]), splits["validation"], splits["test"]))
    return {
        "benchmark": "accuracy",
        "machine": machine,
        "preset": options.preset,
        "reviews": {name: len(split.tokens) for name, split in splits.items()},
        "ways": [summary(way, labels, ways[: len(seeds)]) for way in ways],
        "seeds": seeds,
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


def ours(store: Store, manifests: dict[str, list[Manifest]], name: str) -> Result:
    """Return the pipeline's predictions; its times are from when the stages ran."""
    (trained,), (evaluated,) = manifests["train"], manifests["evaluate"]
    path = store.root / evaluated.output("predictions.parquet").path
    probabilities = pq.read_table(path)["probability"].to_numpy()
    return Result(
        name=name,
        chosen="best validation loss",
        validation_accuracy=trained.stats["validation_accuracy"],
        predicted=(probabilities >= trained.stats["threshold"]).astype(np.uint8),
        seconds=trained.seconds,
        rate=len(probabilities) / evaluated.seconds,
        size=sum(artifact.size for artifact in trained.outputs),
    )


def details(store: Store, manifests: dict[str, list[Manifest]]) -> dict[str, Any]:
    """Return what accuracy does not say about the pipeline's model.

    That is the loss and the expected calibration error on the test reviews, the accuracy on the
    longest tenth of them, and the short phrases that it answers wrongly.
    """
    (trained,), (evaluated,) = manifests["train"], manifests["evaluate"]
    metrics = json.loads((store.root / evaluated.output("metrics.json").path).read_bytes())
    table = pq.read_table(store.root / evaluated.output("predictions.parquet").path)
    positive = table["probability"].to_numpy() >= trained.stats["threshold"]
    right = positive == (table["label"].to_numpy() == 1)
    words = np.array([len(each) for each in Split.load(tokens_of(store, manifests, "test")).tokens])
    long = words >= np.quantile(words, 0.9)
    model = Classifier.load((store.root / trained.output("config.json").path).parent)
    answers = model.predict([*POSITIVE, *NEGATIVE])
    expected = ["positive"] * len(POSITIVE) + ["negative"] * len(NEGATIVE)
    phrases = zip((*POSITIVE, *NEGATIVE), answers, expected, strict=True)
    return {
        "loss": metrics["loss"],
        "ece": metrics["calibration"]["ece"],
        "long": {"words": int(words[long].min()), "accuracy": float(right[long].mean())},
        "phrases": len(answers),
        "wrong_phrases": [phrase for phrase, answer, label in phrases if answer != label],
    }


def summary(way: Result, labels: Labels, first: list[Result]) -> dict[str, Any]:
    """Return a model's results as JSON values.

    ``lead`` is how much better the pipeline is, as a mean of its seeds.
    """
    right = way.predicted == labels
    lead = np.mean([(each.predicted == labels).mean() for each in first]) - right.mean()
    return {
        "name": way.name,
        "chosen": way.chosen,
        "validation_accuracy": way.validation_accuracy,
        "accuracy": float(right.mean()),
        "interval": wilson_interval(int(right.sum()), len(labels)),
        "lead": float(lead),
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
    seeds = result["seeds"]
    rivals, ours = result["ways"][len(seeds) :], result["ways"][: len(seeds)]
    mean, spread = (f([way["accuracy"] for way in ours]) for f in (np.mean, np.ptp))
    console.print(f"{result['preset']}: {mean:.4f} on average, {spread:.4f} from lowest to highest")
    for way in rivals:
        lead = f"{100 * way['lead']:+.2f} points"
        console.print(f"{lead} over {way['name']} ({way['chosen']} chosen on validation)")
    console.print(seeds_table(seeds))
    for seed in seeds:
        if seed["wrong_phrases"]:
            console.print(f"seed {seed['seed']} is wrong about: {'; '.join(seed['wrong_phrases'])}")


def seeds_table(seeds: Sequence[dict[str, Any]]) -> Table:
    """Return a table with a row for each seed's model."""
    table = Table(box=box.SIMPLE)
    long = f"{seeds[0]['long']['words']:,} words or more"
    for name in ("seed", "loss", "calibration error", long, "short phrases"):
        table.add_column(name, justify="right")
    for seed in seeds:
        table.add_row(
            str(seed["seed"]),
            f"{seed['loss']:.4f}",
            f"{seed['ece']:.4f}",
            f"{seed['long']['accuracy']:.4f}",
            f"{seed['phrases'] - len(seed['wrong_phrases'])} of {seed['phrases']}",
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
