"""An exported model against PyTorch: accuracy, size, latency of single texts, agreement.

    python benchmarks/export.py --model storage/models/latest --data test.ft.txt.bz2

Each review is scored alone, then in a padded batch: the difference is what the batch adds.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pyarrow as pa
import torch
from rich import box
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.support.command import execute
from benchmarks.support.machine import describe_machine, machine_lines
from sentiment.errors import DataError, ModelError
from sentiment.evaluation.metrics import wilson_interval
from sentiment.model.bundle import Bundle
from sentiment.model.bundle_files import WEIGHTS
from sentiment.model.export import Probability, export_onnx
from sentiment.scoring.inputs import ScoreConfig, open_input
from sentiment.text.tokenize import tokenize_texts
from sentiment.text.vocabulary import PAD

Ids = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float64]
Score = Callable[[Ids, Ids], Probabilities]  # ids (batch, steps) and lengths (batch,)
BATCH = 32  # reviews of any length, as they come


def main(arguments: Sequence[str] | None = None) -> int:
    return execute(parse(arguments), measure, show, width=120)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=Path, required=True, help="model bundle")
    parser.add_argument("--data", type=Path, required=True, help="fastText file of reviews")
    parser.add_argument("--rows", type=int, default=2_000, help="labelled reviews to read")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write the results to this file"
    )
    return parser.parse_args(arguments)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    bundle = Bundle.load(options.model)
    if bundle.config.train.padding == "left":
        raise ModelError(
            f"{options.model}: this benchmark does not measure models that pad on the left."
        )
    machine = describe_machine()
    reviews, positive = read(options.data, options.rows, bundle)
    model = Probability(bundle.model)

    def by_torch(ids: Ids, lengths: Ids) -> Probabilities:
        with torch.inference_mode():
            found = model(torch.from_numpy(ids), torch.from_numpy(lengths))
            return np.asarray(found.numpy(), np.float64)

    size = (options.model / WEIGHTS).stat().st_size
    ways = [figures("torch", size, by_torch, reviews, positive)]
    with TemporaryDirectory() as folder:
        for name, int8 in (("onnx", False), ("onnx int8", True)):
            path = export_onnx(options.model, Path(folder) / "model.onnx", int8=int8)[0]
            score = by_onnx(path)
            ways.append(figures(name, path.stat().st_size, score, reviews, positive))
    expected = ways[0]["probabilities"]
    for way in ways:
        found = way.pop("probabilities")
        way["same_label"] = float(np.mean((found >= 0.5) == (expected >= 0.5)))
        way["largest_difference"] = float(abs(found - expected).max())
    return {"benchmark": "export", "machine": machine, "reviews": len(reviews), "ways": ways}


def read(path: Path, rows: int, bundle: Bundle) -> tuple[list[Ids], npt.NDArray[np.bool_]]:
    """Return the ids of the file's first labelled reviews, and which are positive."""
    entries = (e for e in open_input(path, ScoreConfig()).entries if e.label in (0, 1))
    pairs = [(e.text, e.label) for e in islice(entries, rows) if e.text is not None]
    if not pairs:
        raise DataError(f"{path}: no labelled reviews: its lines must begin with __label__.")
    texts = pa.array([text for text, _ in pairs])
    words = tokenize_texts(texts, bundle.config.tokenize).to_pylist()
    kept = bundle.config.tensors.kept
    encoded = [bundle.vocabulary.encode(kept(found) or [""]) for found in words]
    return [ids.astype(np.int64) for ids in encoded], np.array([label == 1 for _, label in pairs])


def by_onnx(path: Path) -> Score:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def score(ids: Ids, lengths: Ids) -> Probabilities:
        (found,) = session.run(None, {"ids": ids, "lengths": lengths})
        return np.asarray(found, np.float64)

    return score


def figures(
    name: str, size: int, score: Score, reviews: list[Ids], positive: npt.NDArray[np.bool_]
) -> dict[str, Any]:
    """Score the reviews alone and in batches; ``probabilities`` are those of the reviews alone."""
    score(*padded(reviews[:1]))
    alone, seconds = [], []
    for review in reviews:
        arrays = padded([review])
        start = time.perf_counter()
        alone.append(score(*arrays))
        seconds.append(time.perf_counter() - start)
    probabilities = np.concatenate(alone)
    batches = [reviews[first : first + BATCH] for first in range(0, len(reviews), BATCH)]
    among = np.concatenate([score(*padded(batch)) for batch in batches])
    right = (probabilities >= 0.5) == positive
    p50, p95 = np.percentile(seconds, (50, 95)) * 1000
    return {
        "name": name,
        "probabilities": probabilities,
        "accuracy": float(right.mean()),
        "interval": wilson_interval(int(right.sum()), len(right)),
        "accuracy_in_batches": float(np.mean((among >= 0.5) == positive)),
        "bytes": size,
        "p50_ms": round(float(p50), 3),
        "p95_ms": round(float(p95), 3),
        "moved_by_batch": float(abs(among - probabilities).max()),
    }


def padded(reviews: list[Ids]) -> tuple[Ids, Ids]:
    """Return ids padded on the right, and the lengths."""
    lengths = np.array([len(review) for review in reviews], np.int64)
    ids = np.full((len(reviews), lengths.max()), PAD, np.int64)
    for row, review in zip(ids, reviews, strict=True):
        row[: len(review)] = review
    return ids, lengths


def show(result: dict[str, Any], console: Console) -> None:
    """Print the results."""
    console.print("\n".join(machine_lines(result["machine"])))
    table = Table(title=f"{result['reviews']:,} labelled reviews", box=box.SIMPLE)
    table.add_column("", no_wrap=True)
    for name in ("accuracy", "95 % interval", "bytes", "p50, ms", "p95, ms"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("same label", "from torch", "by batch"):
        table.add_column(name, justify="right", no_wrap=True)
    for way in result["ways"]:
        low, high = way["interval"]
        table.add_row(
            way["name"],
            f"{way['accuracy']:.4f}",
            f"{low:.3f} to {high:.3f}",
            f"{way['bytes']:,}",
            f"{way['p50_ms']:.2f}",
            f"{way['p95_ms']:.2f}",
            f"{way['same_label']:.2%}",
            f"{way['largest_difference']:.1e}",
            f"{way['moved_by_batch']:.1e}",
        )
    console.print(table)
    console.print(
        "From torch, by batch: largest change of a probability from PyTorch's, and in a batch."
    )


if __name__ == "__main__":
    sys.exit(main())
