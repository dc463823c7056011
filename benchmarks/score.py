"""How fast a model scores reviews, in files and one text at a time, against fastText.

    python benchmarks/score.py --model storage/models/latest --data test.ft.txt.bz2

fastText is measured if installed: its default model with word pairs, trained on the same reviews
(not timed), which changes its accuracy but not its speed.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.support.command import execute
from benchmarks.support.machine import (
    describe_machine,
    in_fresh_process,
    machine_lines,
    peak_memory,
)
from sentiment.classifier import Classifier
from sentiment.scoring.inputs import ScoreConfig, open_input
from sentiment.scoring.score_files import score_files

WARM_UP = 200  # texts before the clock starts


def main(arguments: Sequence[str] | None = None) -> int:
    return execute(parse(arguments), measure, show, width=100)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Score the reviews in all ways; return the results as a JSON object."""
    texts, labels = read(options.data, options.rows)
    result: dict[str, Any] = {
        "benchmark": "score",
        "machine": describe_machine(),
        "reviews": len(texts),
        "ways": {"sentiment": in_fresh_process(ours, options.model, texts, options.singles)},
    }
    with suppress(ImportError):
        result["ways"]["fastText"] = in_fresh_process(fasttext, texts, labels, options.singles)
    return result


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=Path, required=True, help="model bundle")
    parser.add_argument("--data", type=Path, required=True, help="fastText file of reviews")
    parser.add_argument("--rows", type=int, default=50_000, help="reviews scored as a file")
    parser.add_argument("--singles", type=int, default=1_000, help="reviews scored one at a time")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write the results to this file"
    )
    return parser.parse_args(arguments)


def read(path: Path, rows: int) -> tuple[list[str], list[int]]:
    """Return the first labelled reviews of a file, each text on one line."""
    pairs = [
        (" ".join(entry.text.split()), entry.label)
        for entry in islice(open_input(path, ScoreConfig()).entries, rows)
        if entry.text is not None and entry.label in (0, 1)
    ]
    return [text for text, _ in pairs], [label for _, label in pairs]


def ours(model: Path, texts: list[str], singles: int) -> dict[str, float]:
    """Measure ``score_files`` on all texts, then ``probabilities`` on one at a time."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "reviews.txt"
        path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
        summary = score_files([path], Path(folder) / "out", model=model, config=ScoreConfig())
    classifier = Classifier.load(model)
    return {
        "rows_per_second": summary["rows_per_second"],
        **latency(lambda text: classifier.probabilities([text]), texts, singles),
        "peak_mib": peak_memory() >> 20,
    }


def fasttext(texts: list[str], labels: list[int], singles: int) -> dict[str, float]:
    """Measure fastText's ``predict`` on the same texts. Raises ImportError if not installed."""
    from fasttext import train_supervised  # type: ignore[import,unused-ignore]

    with TemporaryDirectory() as folder:
        path = Path(folder) / "train.txt"
        lines = (
            f"__label__{label + 1} {text}\n" for text, label in zip(texts, labels, strict=True)
        )
        path.write_text("".join(lines), encoding="utf-8")
        model = train_supervised(str(path), wordNgrams=2, verbose=0)
    begin = time.perf_counter()
    for text in texts:
        model.f.predict(f"{text}\n", 1, 0.0, "strict")
    seconds = time.perf_counter() - begin
    return {
        "rows_per_second": round(len(texts) / seconds),
        **latency(lambda text: model.f.predict(f"{text}\n", 1, 0.0, "strict"), texts, singles),
        "peak_mib": peak_memory() >> 20,
    }


def latency(predict: Callable[[str], Any], texts: list[str], singles: int) -> dict[str, float]:
    """Return the median and the 95th percentile of single predictions, in milliseconds."""
    times = []
    for number, text in enumerate(islice(texts, WARM_UP + singles)):
        begin = time.perf_counter()
        predict(text)
        if number >= min(WARM_UP, len(texts) // 2):
            times.append(time.perf_counter() - begin)
    p50, p95 = np.percentile(times, (50, 95)) * 1000
    return {"p50_ms": round(float(p50), 3), "p95_ms": round(float(p95), 3)}


def show(result: dict[str, Any], console: Console) -> None:
    """Print the results."""
    console.print("\n".join(machine_lines(result["machine"])))
    table = Table(title=f"{result['reviews']:,} reviews", box=box.ROUNDED)
    for name in ("", "reviews/s", "one text p50, ms", "p95, ms", "peak memory, MiB"):
        table.add_column(name, justify="right" if name else "left")
    for name, way in result["ways"].items():
        table.add_row(
            name,
            f"{way['rows_per_second']:,}",
            f"{way['p50_ms']:.2f}",
            f"{way['p95_ms']:.2f}",
            f"{way['peak_mib']:,}",
        )
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
