"""The article's model on a part of its data: the notebook's plain loops beside the pipeline.

    python benchmarks/article.py --data DIR --rows 20000 --seeds 1 2 3

Both preprocess the first ``--rows`` training reviews and all test reviews, train the article's
network for its two epochs, and are measured on the second half of the test reviews. The plain way
has everything in memory. The pipeline is the preset ``article``, in one process and with the
default rule for URLs, which the plain loops have too.
"""

import argparse
import bz2
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import flows  # first: it sets how PyTorch's threads wait  # noqa: F401, I001

import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.accuracy import build
from benchmarks.support import plain_preprocessing
from benchmarks.support.command import execute
from benchmarks.support.machine import describe_machine, in_fresh_process, machine_lines
from benchmarks.support.plain_training import PlainLSTM, PlainTraining, encoded
from flows.config.presets import load_config
from sentiment.evaluation.metrics import wilson_interval
from tasks.run.config import PipelineConfig
from tasks.run.spec import RunSpec
from tasks.store import Store

BEFORE_TRAINING = ("ingest", "tokenize", "vocabulary", "tensors")


def main(arguments: Sequence[str] | None = None) -> int:
    return execute(parse(arguments), measure, show)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__ and __doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with two .bz2 files")
    parser.add_argument("--rows", type=int, default=20_000, help="training reviews")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="train both for each")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write the results to this file"
    )
    return parser.parse_args(arguments)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Train and measure both ways for each seed, one after the other, in fresh processes."""
    machine = describe_machine()
    ways: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        data.mkdir()
        for split, rows in (("train", options.rows), ("test", None)):
            (source,) = options.data.glob(f"*{split}*.bz2")
            with bz2.open(source) as lines, bz2.open(data / f"{split}.ft.txt.bz2", "wb") as part:
                part.writelines(islice(lines, rows))
        limits = ["ingest.train_limit=null", "ingest.test_limit=null", "tokenize.urls=whole"]
        for seed in options.seeds:
            config = load_config("article", [*limits, *options.set, f"train.seed={seed}"])
            storage = Path(folder) / "storage"
            ways[f"plain loops, seed {seed}"] = in_fresh_process(plain, data, config)
            ways[f"preset article, seed {seed}"] = in_fresh_process(pipeline, data, config, storage)
    return {"benchmark": "article", "machine": machine, "rows": options.rows, "ways": ways}


def plain(data: Path, config: PipelineConfig) -> dict[str, Any]:
    """Do what the notebook does; see ``plain_preprocessing`` and ``plain_training``."""
    started = time.perf_counter()
    max_length, batch_size = config.tensors.max_length, config.train.batch_size
    train = plain_preprocessing.preprocess(data / "train.ft.txt.bz2")
    labels, texts = plain_preprocessing.read(data / "test.ft.txt.bz2")
    half = len(labels) // 2
    tokens = plain_preprocessing.tokenize(plain_preprocessing.clean(texts))
    ids = plain_preprocessing.encode(tokens, train.words)
    test = plain_preprocessing.pad(ids[half:], max_length)
    preprocessed = time.perf_counter()
    torch.manual_seed(config.train.seed)
    model, device = PlainLSTM(config.train.model, len(train.words)), torch.device("cpu")
    training = PlainTraining(
        model,
        encoded(train.ids, train.labels),
        max_length=max_length,
        batch_size=batch_size,
        device=device,
    )
    for _ in range(config.train.epochs):
        for _ in training.steps():
            pass
    trained = time.perf_counter()
    model.eval()
    with torch.no_grad():
        batches = (
            torch.from_numpy(test[at : at + batch_size]) for at in range(0, len(test), batch_size)
        )
        positive = torch.cat([model(batch) for batch in batches]).numpy() >= 0.5
    right = positive == (np.array(labels[half:]) == 1)
    return measured(int(right.sum()), right.size, preprocessed - started, trained - preprocessed)


def pipeline(data: Path, config: PipelineConfig, storage: Path) -> dict[str, Any]:
    """Run the pipeline's stages up to ``evaluate``."""
    store = Store(storage)
    store.prepare()
    done = build(RunSpec("article", config, data, store), Console(quiet=True))
    before = sum(manifest.seconds for stage in BEFORE_TRAINING for manifest in done[stage])
    (trained,), (evaluated,) = done["train"], done["evaluate"]
    metrics = json.loads((store.root / evaluated.output("metrics.json").path).read_bytes())
    correct = round(metrics["accuracy"] * metrics["rows"])
    return measured(correct, metrics["rows"], before, trained.seconds)


def measured(correct: int, rows: int, preprocessing: float, training: float) -> dict[str, Any]:
    return {
        "accuracy": correct / rows,
        "interval": wilson_interval(correct, rows),
        "test_rows": rows,
        "preprocessing_seconds": preprocessing,
        "training_seconds": training,
    }


def show(result: dict[str, Any], console: Console) -> None:
    """Print the results."""
    console.print("\n".join(machine_lines(result["machine"])))
    ways = result["ways"]
    rows = next(iter(ways.values()))["test_rows"]
    console.print(f"{result['rows']:,} training reviews, {rows:,} test reviews\n")
    table = Table(box=box.SIMPLE)
    for name in ("", "accuracy", "95 % interval", "preprocessing, s", "training, s"):
        table.add_column(name, justify="right" if name else "left")
    for name, way in sorted(ways.items()):
        low, high = way["interval"]
        table.add_row(
            name,
            f"{way['accuracy']:.4f}",
            f"{low:.3f} to {high:.3f}",
            f"{way['preprocessing_seconds']:,.1f}",
            f"{way['training_seconds']:,.0f}",
        )
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
