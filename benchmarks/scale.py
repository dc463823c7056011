"""How time and memory grow with the reviews: ingest to duplicates, each size from scratch.

    python benchmarks/scale.py --rows 100000 1000000 4000000

The pipeline's own requests and store do the work, without Prefect: only the stages are measured.
Each stage has fresh processes, so that its peak memory is its own.
"""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import islice, repeat
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NamedTuple
from unittest.mock import patch

from rich import box
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.support.machine import (
    describe_machine,
    in_fresh_process,
    machine_lines,
    peak_memory,
    workers,
)
from flows.config.presets import load_config
from flows.steps import drive
from sentiment.data.generate import write_sample
from sentiment.data.ingest import IngestConfig
from tasks.manifest import Manifest
from tasks.run.spec import RunSpec
from tasks.stage import Request, Stage
from tasks.store import Store

ROWS = [100_000, 1_000_000, 4_000_000]
PRESET, LAST = "balanced", "duplicates"
GROWTH_BAR, GROWTH_ROWS = 1.3, 10  # peak memory, from the smallest size to ten times as many
MEMORY_BAR = 2500  # MiB a process


Cell = Callable[[dict[str, Any], dict[str, Any]], str]  # of a size and a stage


class Built(NamedTuple):
    """One request's result, the seconds it took, and its process's peak memory in bytes."""

    manifest: Manifest
    seconds: float
    peak: int


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    console, messages = Console(width=100, highlight=False), Console(stderr=True, highlight=False)
    result = {
        "benchmark": "scale",
        "machine": describe_machine(),
        "data": "generated reviews, nine tenths of them for training",
        "preset": PRESET,
        "steps": options.steps,
        "processes": options.processes,
        "shard_size": options.shard_size,
        "sizes": [],
    }
    for rows in options.rows:
        size = measure(rows, options)
        result["sizes"].append(size)
        messages.print(f"{rows:,} reviews: {size['seconds']:,.1f} s")
        if options.json:  # after each size: the largest takes long
            result["memory"] = judge(result["sizes"])
            options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    show({**result, "memory": judge(result["sizes"])}, console)
    return 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__ and __doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS, help="reviews in each run")
    parser.add_argument("--folder", type=Path, help="where to keep reviews and storage meanwhile")
    parser.add_argument("--processes", type=int, default=2, help="workers to share the shards")
    parser.add_argument("--shard-size", type=int, default=IngestConfig().shard_size)
    parser.add_argument("--steps", type=int, default=200, help="steps that the training takes")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write the results to this file"
    )
    options = parser.parse_args(arguments)
    if min(options.rows) < 100 or min(options.processes, options.shard_size, options.steps) < 1:
        parser.error("--rows must be at least 100, --processes, --shard-size and --steps 1")
    return options


def measure(rows: int, options: argparse.Namespace) -> dict[str, Any]:
    """Generate reviews, run the stages on them from a fresh process, remove everything."""
    folder = Path(mkdtemp(prefix="sentiment-scale-", dir=options.folder))
    try:
        started = time.perf_counter()
        test = rows // 10
        in_fresh_process(write_sample, folder / "data", train=rows - test, test=test, seed=1)
        generated = time.perf_counter() - started
        size = in_fresh_process(
            run_stages, folder, options.processes, options.shard_size, options.steps
        )
        return {"rows": rows, "generating_seconds": generated, **size}
    finally:
        shutil.rmtree(folder)


def run_stages(folder: Path, processes: int, shard_size: int, steps: int) -> dict[str, Any]:
    """Run ingest to duplicates on ``folder/data`` in a new storage; return the measurements."""
    store = Store(folder / "storage")
    store.prepare()
    config = load_config(
        PRESET,
        [
            f"ingest.shard_size={shard_size}",
            "train.device=cpu",
            f"train.checkpoint_every={max(1, steps // 2)}",  # so that there is one
        ],
    )
    stages: dict[str, dict[str, Any]] = {}

    def answer(stage: Stage, requests: Sequence[Request]) -> list[Manifest]:
        manifests, stages[stage.name] = build_all(store, stage, requests, processes, steps)
        return manifests

    done = drive(RunSpec(PRESET, config, folder / "data", store), answer, until=LAST)
    return {
        "seconds": sum(measured["seconds"] for measured in stages.values()),
        "stages": stages,
        "parent_mib": peak_memory() >> 20,
        "tokens": sum(manifest.stats["tokens"] for manifest in done["tokenize"]),
        "vocabulary": done["vocabulary"][0].stats["size"],
        "steps": done["train"][0].stats["steps"],
    }


def build_all(
    store: Store, stage: Stage, requests: Sequence[Request], processes: int, steps: int
) -> tuple[list[Manifest], dict[str, Any]]:
    """Do a stage's requests in new processes; return the manifests and the measurements.

    The start of a mapped stage's workers is part of its time. A single request has a process only
    to show its own peak, so that start is not counted.
    """
    started = time.perf_counter()
    with workers(min(len(requests), processes) if stage.mapped else 1) as pool:
        results = list(pool.map(build, repeat(store.root), requests, repeat(steps)))
    manifests = [result.manifest for result in results]
    seconds = sum(result.seconds for result in results)
    return manifests, {
        "seconds": time.perf_counter() - started if stage.mapped else seconds,
        "requests": len(requests),
        "mib": max(result.peak for result in results) >> 20,
        "stored_bytes": sum(file.size for manifest in manifests for file in manifest.outputs),
    }


def build(root: Path, request: Request, steps: int) -> Built:
    """Do one request in this process."""
    started = time.perf_counter()
    with stopping_after(steps) if request.stage.name == "train" else nullcontext():
        manifest = Store(root).build(request).manifest
    return Built(manifest, time.perf_counter() - started, peak_memory())


@contextmanager
def stopping_after(steps: int) -> Iterator[None]:
    """Let the stage train end after this many steps, as it would at the end of its last epoch.

    All else is as in a whole training, and so is its memory: all reviews are joined on the disk,
    the n-grams are counted in all of them, an epoch's order is that of all, checkpoints are
    written, and the last step validates on all validation reviews.
    """
    from sentiment.training import train  # not above: no other stage's process shall hold torch
    from sentiment.training.trainer import Trainer

    class Stopping(Trainer):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            self._total_steps = min(self._total_steps, steps)

        def _places(self) -> Iterator[Any]:
            return islice(super()._places(), self._total_steps - self.step)

    with patch.object(train, "Trainer", Stopping):
        yield


def judge(sizes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return how each stage's largest process grows, and whether the bars are met.

    The growth is from the smallest size to the largest of at most ten times as many reviews.
    """
    peaks = {
        size["rows"]: {name: stage["mib"] for name, stage in size["stages"].items()}
        for size in sizes
    }
    fewest = min(peaks)
    judged = max(rows for rows in peaks if rows <= GROWTH_ROWS * fewest)
    growth = {name: peaks[judged][name] / peaks[fewest][name] for name in peaks[fewest]}
    largest = max(max(size["parent_mib"], *peaks[size["rows"]].values()) for size in sizes)
    return {
        "growth": growth,
        "growth_bar": GROWTH_BAR,
        "growth_rows": [fewest, judged],
        "growth_met": max(growth.values()) <= GROWTH_BAR,
        "largest_mib": largest,
        "bar_mib": MEMORY_BAR,
        "met": largest <= MEMORY_BAR,
    }


def show(result: dict[str, Any], console: Console) -> None:
    """Print the results."""
    for line in machine_lines(result["machine"]):
        console.print(line)
    console.print(
        f"{result['data'].capitalize()}; preset {PRESET}, training stopped after "
        f"{result['steps']:,} steps; processes: {result['processes']}, shards of "
        f"{result['shard_size']:,}.\n"
    )
    sizes = result["sizes"]
    for title, value in (
        ("Seconds", lambda size, stage: f"{stage['seconds']:,.1f}"),
        (
            "Peak memory in MiB of a stage's largest process",
            lambda size, stage: f"{stage['mib']:,}",
        ),
        (
            "Bytes stored a review",
            lambda size, stage: f"{stage['stored_bytes'] / size['rows']:,.0f}",
        ),
    ):
        console.print(table_of(title, sizes, value))
    memory = result["memory"]
    fewest, judged = memory["growth_rows"]
    most = max(memory["growth"], key=memory["growth"].__getitem__)
    grown = memory["growth"][most]
    console.print(
        f"From {fewest:,} to {judged:,} reviews {most} grows most, {grown:.2f}-fold "
        f"(bar {GROWTH_BAR}, {'met' if memory['growth_met'] else 'not met'}); the largest process "
        f"of all takes {memory['largest_mib']:,} MiB "
        f"(bar {MEMORY_BAR:,}, {'met' if memory['met'] else 'not met'})."
    )


def table_of(title: str, sizes: Sequence[dict[str, Any]], value: Cell) -> Table:
    """Return a table with a row for each size and a column for each stage."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE, padding=(0, 1, 0, 0))
    for name in ["reviews", *sizes[0]["stages"]]:
        table.add_column(name, justify="right", no_wrap=True)
    for size in sizes:
        cells = [value(size, stage) for stage in size["stages"].values()]
        table.add_row(f"{size['rows']:,}", *cells)
    return table


if __name__ == "__main__":
    sys.exit(main())
