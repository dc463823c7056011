"""How time and memory grow with the reviews: ingest to tensors, each size from scratch.

    python benchmarks/scale.py --rows 100000 400000 1000000 4000000

The pipeline's own requests and store do the work, without Prefect: only the stages are measured.
"""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from itertools import repeat
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

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
from flows.steps import drive
from sentiment.data.generate import write_sample
from sentiment.data.ingest import IngestConfig
from tasks.manifest import Manifest
from tasks.run.config import PipelineConfig
from tasks.run.spec import RunSpec
from tasks.stage import Request, Stage
from tasks.store import Store

ROWS = [100_000, 400_000, 1_000_000, 4_000_000]
LAST = "tensors"
GROWTH_BAR, GROWTH_ROWS = 1.2, 10  # peak memory, from the smallest size to ten times as many
MEMORY_BAR = 1500  # MiB a process


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse(arguments)
    console, messages = Console(width=100, highlight=False), Console(stderr=True, highlight=False)
    result = {
        "benchmark": "scale",
        "machine": describe_machine(),
        "data": "generated reviews, nine tenths of them for training",
        "processes": options.processes,
        "shard_size": options.shard_size,
        "sizes": [],
    }
    for rows in options.rows:
        size = measure(rows, options.folder, options.processes, options.shard_size)
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
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write the results to this file"
    )
    options = parser.parse_args(arguments)
    if min(options.rows) < 100 or options.processes < 1 or options.shard_size < 1:
        parser.error("--rows must be at least 100, --processes and --shard-size at least 1")
    return options


def measure(rows: int, parent: Path | None, processes: int, shard_size: int) -> dict[str, Any]:
    """Generate reviews, run the stages on them in a fresh process, remove everything."""
    folder = Path(mkdtemp(prefix="sentiment-scale-", dir=parent))
    try:
        started = time.perf_counter()
        test = rows // 10
        in_fresh_process(write_sample, folder / "data", train=rows - test, test=test, seed=1)
        generated = time.perf_counter() - started
        size = in_fresh_process(run_stages, folder, processes, shard_size)
        return {"rows": rows, "generating_seconds": generated, **size}
    finally:
        shutil.rmtree(folder)


def run_stages(folder: Path, processes: int, shard_size: int) -> dict[str, Any]:
    """Run ingest to tensors on ``folder/data`` in a new storage; return the measurements."""
    store = Store(folder / "storage")
    store.prepare()
    config = PipelineConfig(ingest=IngestConfig(shard_size=shard_size))
    before = peak_memory()
    stages: dict[str, dict[str, Any]] = {}

    def answer(stage: Stage, requests: Sequence[Request]) -> list[Manifest]:
        started = time.perf_counter()
        manifests, worker = build_all(store, stage, requests, processes)
        stages[stage.name] = {
            "seconds": time.perf_counter() - started,
            "requests": len(requests),
            "parent_mib": peak_memory() >> 20,
            "worker_mib": worker >> 20,
        }
        return manifests

    done = drive(RunSpec("default", config, folder / "data", store), answer, until=LAST)
    parent = peak_memory() >> 20
    worker_mib = max(measured["worker_mib"] for measured in stages.values())
    return {
        "seconds": sum(measured["seconds"] for measured in stages.values()),
        "stages": stages,
        "parent_before_mib": before >> 20,
        "parent_mib": parent,
        "worker_mib": worker_mib,
        "tokens": sum(manifest.stats["tokens"] for manifest in done["tokenize"]),
        "vocabulary": done["vocabulary"][0].stats["size"],
        "stored_bytes": {
            name: sum(file.size for manifest in manifests for file in manifest.outputs)
            for name, manifests in done.items()
        },
    }


def build_all(
    store: Store, stage: Stage, requests: Sequence[Request], processes: int
) -> tuple[list[Manifest], int]:
    """Do a stage's requests; return also the peak memory of the largest worker, 0 if none.

    As in the pipeline, a mapped stage starts its own workers; a single request needs none.
    """
    count = min(len(requests), processes) if stage.mapped else 1
    with workers(count) if count > 1 else nullcontext() as pool:
        spread = pool.map if isinstance(pool, ProcessPoolExecutor) else map
        results = list(spread(build, repeat(store.root), requests))
    return [manifest for manifest, _ in results], max(
        (peak for _, peak in results if count > 1), default=0
    )


def build(root: Path, request: Request) -> tuple[Manifest, int]:
    """Do one request; return its manifest and the peak memory of this process."""
    return Store(root).build(request).manifest, peak_memory()


def judge(sizes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return how the largest process grows from the smallest size, and whether the bars are met."""
    peaks = {size["rows"]: max(size["parent_mib"], size["worker_mib"]) for size in sizes}
    fewest = min(peaks)
    growth = {rows: peak / peaks[fewest] for rows, peak in peaks.items()}
    judged = max(rows for rows in growth if rows <= GROWTH_ROWS * fewest)
    largest = max(peaks.values())
    return {
        "growth": {str(rows): value for rows, value in growth.items()},
        "growth_bar": GROWTH_BAR,
        "growth_rows": judged,
        "growth_met": growth[judged] <= GROWTH_BAR,
        "largest_mib": largest,
        "bar_mib": MEMORY_BAR,
        "met": largest <= MEMORY_BAR,
    }


def show(result: dict[str, Any], console: Console) -> None:
    """Print the results."""
    for line in machine_lines(result["machine"]):
        console.print(line)
    console.print(
        f"{result['data'].capitalize()}; processes: {result['processes']}, shards of "
        f"{result['shard_size']:,}.\n"
    )
    console.print(table_of(result["sizes"]))
    memory = result["memory"]
    judged = memory["growth_rows"]
    console.print(
        f"The largest process grows {memory['growth'][str(judged)]:.2f}-fold up to {judged:,} "
        f"reviews (bar {GROWTH_BAR}, {'met' if memory['growth_met'] else 'not met'}); the largest "
        f"of all takes {memory['largest_mib']:,} MiB "
        f"(bar {MEMORY_BAR:,}, {'met' if memory['met'] else 'not met'})."
    )


def table_of(sizes: Sequence[dict[str, Any]]) -> Table:
    names = list(sizes[0]["stages"])
    title = "Seconds by stage; peak memory in MiB; tensors in bytes a review"
    table = Table(title=title, title_justify="left", box=box.SIMPLE, padding=(0, 1, 0, 0))
    for name in ["reviews", *names, "all", "reviews/s", "parent", "worker", "stored"]:
        table.add_column(name, justify="right", no_wrap=True)
    for size in sizes:
        rows = size["rows"]
        seconds = [size["stages"][name]["seconds"] for name in names]
        table.add_row(
            f"{rows:,}",
            *(f"{value:,.1f}" for value in [*seconds, size["seconds"]]),
            f"{rows / size['seconds']:,.0f}",
            f"{size['parent_mib']:,}",
            f"{size['worker_mib']:,}" if size["worker_mib"] else "",
            f"{size['stored_bytes'][LAST] / rows:,.0f}",
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
