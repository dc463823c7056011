"""Preprocessing, from bz2 to tensors: the article's plain loops against the pipeline.

    python benchmarks/preprocess.py --data DIR

Both ways must give the same tokens, vocabulary and ids before any time is reported.
"""

import argparse
import bz2
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.support import plain_preprocessing as plain
from benchmarks.support import stages
from benchmarks.support.command import execute
from benchmarks.support.compare import WholeRun, check_agreement, time_stages, time_whole
from benchmarks.support.machine import describe_machine, machine_lines
from benchmarks.support.stages import Outputs
from sentiment.data.generate import generate_reviews
from sentiment.errors import SentimentError
from tasks.sources import find_sources

STORAGE_BAR = 1 / 6
MEMORY_BAR = 1500  # MiB a process
GENERATED = "generated reviews, whose few words flatter the cached tokenizer"


def main(arguments: Sequence[str] | None = None) -> int:
    return execute(parse(arguments), measure, show)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__ and __doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder or file of reviews; default: generated")
    parser.add_argument("--reviews", type=int, default=40_000, help="reviews to measure")
    parser.add_argument("--warm", type=int, default=40_000, help="other reviews tokenized first")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--shard-size", type=int, default=10_000, help="reviews per shard")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write the results to this file"
    )
    options = parser.parse_args(arguments)
    if min(options.reviews, options.repeats, options.shard_size, *options.processes) < 1:
        parser.error("--reviews, --repeats, --processes and --shard-size must be at least 1")
    if options.warm < 0 or options.repeats > options.reviews:
        parser.error("--warm must be at least 0, and --reviews at least --repeats")
    return options


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Check, time and weigh both ways; return the results as a JSON object."""
    machine = describe_machine()
    needed = options.warm + options.reviews
    reviews = list(islice(reviews_of(options.data, needed), needed))
    if len(reviews) < needed:
        raise SentimentError(
            f"{options.data} has {len(reviews):,} reviews, but --warm and --reviews need "
            f"{needed:,}: lower them."
        )
    with TemporaryDirectory(prefix="sentiment-benchmark-") as name:
        folder = Path(name)
        source = folder / "train.ft.txt.bz2"
        lines = (f"__label__{label + 1} {text}\n" for label, text in reviews[options.warm :])
        source.write_bytes(bz2.compress("".join(lines).encode()))
        expected = plain.preprocess(source)
        outputs, _ = stages.run_stages(source, folder / "checked", shard_size=options.shard_size)
        check_agreement(expected, outputs)
        whole, runs = time_whole(
            source,
            outputs,
            folder,
            processes=options.processes,
            repeats=options.repeats,
            shard_size=options.shard_size,
        )
        rows = time_stages(
            source,
            expected,
            outputs,
            warm=[text for _, text in reviews[: options.warm]],
            repeats=options.repeats,
            shard_size=options.shard_size,
            folder=folder,
        )
        return {
            "benchmark": "preprocess",
            "machine": machine,
            "data": {
                "source": options.data.name if options.data else GENERATED,
                "reviews": options.reviews,
                "warm": options.warm,
                "tokens": sum(map(len, expected.tokens)),
                "vocabulary": len(expected.words),
            },
            "repeats": options.repeats,
            "shard_size": options.shard_size,
            "identical": ["tokens", "vocabulary", "ids", "padded batches", "files of every run"],
            "stages": [row.to_json() for row in [*rows, *whole]],
            "memory": {way: memory_of(run) for way, run in runs.items()},
            "storage": storage_of(outputs, options.reviews),
        }


def reviews_of(data: Path | None, needed: int) -> Iterator[tuple[int, str]]:
    """Yield label and text of the valid reviews, training files first."""
    if data is None:
        return generate_reviews(needed, seed=1, split="train")
    sources = sorted(find_sources(data), key=lambda source: source.role != "train")
    return (
        (review["label"], review["text"].replace("\n", " "))
        for source in sources
        for reviews in stages.read(Path(str(source.path)))
        for review in reviews.to_pylist()
    )


def memory_of(run: WholeRun) -> dict[str, float | bool]:
    """Return one run's peak memory in MiB, and what it held before the work."""
    largest = max(run.peaks) >> 20
    return {
        "before_mib": run.before >> 20,
        "peak_mib": run.peaks.parent >> 20,
        "peak_worker_mib": run.peaks.worker >> 20,
        "bar_mib": MEMORY_BAR,
        "met": largest <= MEMORY_BAR,
        "worker_start_seconds": run.start,
    }


def storage_of(outputs: Outputs, reviews: int) -> dict[str, float | bool]:
    """Compare the size of the stored tensors with that of the article's padded array."""
    stored = sum(path.stat().st_size for path in outputs.tensors)
    padded = reviews * stages.TENSORS.max_length * 8
    return {
        "padded_bytes": padded,
        "stored_bytes": stored,
        "ratio": stored / padded,
        "bar": STORAGE_BAR,
        "met": stored / padded <= STORAGE_BAR,
    }


def show(result: dict[str, Any], console: Console) -> None:
    """Print the results."""
    data = result["data"]
    for line in machine_lines(result["machine"]):
        console.print(line)
    console.print(
        f"{data['reviews']:,} reviews ({data['tokens']:,} tokens, vocabulary "
        f"{data['vocabulary']:,}) from: {data['source']}. "
        f"Medians of {result['repeats']}, alternating. Identical: "
        f"{', '.join(result['identical'])}.\n"
    )
    console.print(stages_table(result["stages"]))
    console.print(memory_table(result["memory"]))
    storage = result["storage"]
    console.print(
        f"Stored tensors: {storage['stored_bytes'] / data['reviews']:,.0f} bytes a review, padded "
        f"int64 {storage['padded_bytes'] / data['reviews']:,.0f}: 1/"
        f"{1 / storage['ratio']:.1f} (bar 1/{1 / storage['bar']:.0f}, {verdict(storage['met'])})"
    )


def stages_table(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table("Stage", title="Reviews a second", title_justify="left", box=box.SIMPLE)
    for name in ("plain", "pipeline", "ratio", "bar", "met?"):
        table.add_column(name, justify="right")
    for row in rows:
        rates = row["reviews_per_second"]
        bar = "" if row["bar"] is None else f">= {row['bar']:.0f}"
        ratio = f"{row['ratio']:.1f}"
        values = (f"{rates['plain']:,.0f}", f"{rates['pipeline']:,.0f}", ratio, bar)
        table.add_row(row["stage"], *values, verdict(row["met"]))
    return table


def memory_table(memory: dict[str, dict[str, Any]]) -> Table:
    title = "Peak memory in MiB; seconds to start the workers, not in the times above"
    table = Table("Whole", title=title, title_justify="left", box=box.SIMPLE)
    for name in ("before", "peak", "a worker", "bar", "met?", "start, s"):
        table.add_column(name, justify="right")
    for way, run in memory.items():
        worker = f"{run['peak_worker_mib']:,}" if run["peak_worker_mib"] else ""
        start = f"{run['worker_start_seconds']:.1f}" if run["worker_start_seconds"] else ""
        limits = ("", "") if way == "plain" else (f"<= {run['bar_mib']:,}", verdict(run["met"]))
        values = (f"{run['before_mib']:,}", f"{run['peak_mib']:,}", worker)
        table.add_row(way, *values, *limits, start)
    return table


def verdict(met: bool | None) -> str:
    return "" if met is None else "yes" if met else "no"


if __name__ == "__main__":
    sys.exit(main())
