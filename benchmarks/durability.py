"""What it costs that results are on the disk before they become visible.

    python benchmarks/durability.py --rows 40000

The stages ingest to tensors run from scratch, and a checkpoint is written, in turn with and without
waiting for the disk. Use a folder on the disk of your storage folder: --folder.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import torch
from rich import box
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.support.command import execute
from benchmarks.support.machine import describe_machine, machine_lines
from flows.steps import drive
from sentiment import files
from sentiment.data.generate import write_sample
from sentiment.data.ingest import IngestConfig
from sentiment.training import checkpoints
from tasks.manifest import Manifest
from tasks.run.config import PipelineConfig
from tasks.run.spec import RunSpec
from tasks.stage import Request, Stage
from tasks.store import Store, store

LAST = "tensors"
WEIGHTS = 2**23  # float32 numbers in the checkpoint: 32 MiB


def main(arguments: Sequence[str] | None = None) -> int:
    return execute(parse(arguments), measure, show)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__ and __doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=40_000, help="generated reviews")
    parser.add_argument("--shard-size", type=int, default=5_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to keep reviews and storage meanwhile")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write the results to this file"
    )
    options = parser.parse_args(arguments)
    if min(options.rows, options.shard_size, options.repeats) < 1:
        parser.error("--rows, --shard-size and --repeats must be at least 1")
    return options


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Time both ways in turn; return medians as a JSON object."""
    machine = describe_machine()
    works: dict[str, Callable[[Path], int]] = {}
    with TemporaryDirectory(prefix="sentiment-benchmark-", dir=options.folder) as name:
        data = Path(name) / "data"
        write_sample(data, train=options.rows * 9 // 10, test=options.rows // 10, seed=1)
        works[f"ingest to {LAST}"] = lambda root: run(data, root, options.shard_size)
        works["a checkpoint of 32 MiB"] = save
        rows = [compare(what, work, Path(name), options.repeats) for what, work in works.items()]
    return {
        "benchmark": "durability",
        "machine": machine,
        "reviews": options.rows,
        "repeats": options.repeats,
        "rows": rows,
    }


def run(data: Path, root: Path, shard_size: int) -> int:
    """Run the first stages in this process; return the number of results."""
    config = PipelineConfig(ingest=IngestConfig(shard_size=shard_size))
    spec = RunSpec("benchmark", config, data, Store(root))

    def build(_stage: Stage, requests: Sequence[Request]) -> list[Manifest]:
        return [spec.store.build(request).manifest for request in requests]

    return sum(map(len, drive(spec, build, until=LAST).values()))


def save(root: Path) -> int:
    weights = torch.zeros(WEIGHTS)
    checkpoints.Checkpoints(root / "train", keep=1).save(1, {"weights": weights}, {"step": 1})
    return 1


@contextmanager
def counting(wait: bool) -> Iterator[list[Path]]:
    """Count the waits for the disk; without ``wait`` there are none."""
    seen: list[Path] = []
    flush = files.flush

    def counted(path: Path) -> None:
        seen.append(path)
        if wait:
            flush(path)

    with ExitStack() as stack:
        for module in (files, store, checkpoints):  # those that call it
            stack.enter_context(patch.object(module, "flush", counted))
        yield seen


def compare(what: str, work: Callable[[Path], int], folder: Path, repeats: int) -> dict[str, Any]:
    """Do the same work with and without waiting, in turn."""
    seconds: dict[bool, list[float]] = {True: [], False: []}
    results = waits = 0
    for repeat in range(repeats):
        for wait in (True, False) if repeat % 2 else (False, True):
            with TemporaryDirectory(dir=folder) as root, counting(wait) as seen:
                started = time.perf_counter()
                results = work(Path(root))
                seconds[wait].append(time.perf_counter() - started)
                waits = len(seen)
    durable, quick = median(seconds[True]), median(seconds[False])
    return {
        "work": what,
        "results": results,
        "waits": waits,
        "seconds": {"durable": seconds[True], "not waiting": seconds[False]},
        "durable": durable,
        "not_waiting": quick,
        "ratio": durable / quick,
    }


def show(result: dict[str, Any], console: Console) -> None:
    """Print the results."""
    for line in machine_lines(result["machine"]):
        console.print(line)
    console.print(
        f"{result['reviews']:,} generated reviews. Medians of {result['repeats']}, in turn.\n"
    )
    table = Table(box=box.SIMPLE)
    table.add_column("Work", no_wrap=True)
    for name in ("results", "waits", "durable, s", "not waiting, s", "ratio"):
        table.add_column(name, justify="right")
    for row in result["rows"]:
        table.add_row(
            row["work"],
            str(row["results"]),
            str(row["waits"]),
            f"{row['durable']:.3f}",
            f"{row['not_waiting']:.3f}",
            f"{row['ratio']:.2f}",
        )
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
