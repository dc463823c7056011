"""What a shard costs on a Dask cluster with an object storage, beside workers on one machine.

    python benchmarks/cluster.py

Runs of the command line tokenize and encode many small shards: on a folder with two local workers,
then on SeaweedFS with one and two Dask workers, each with a cache of its own, all on this machine.
A plan of it all follows, from an empty cache.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.support.machine import describe_machine, in_fresh_process, machine_lines
from sentiment.data.generate import write_sample
from tasks.store import Store
from tests.support.s3 import BUCKET, environment, running, seaweedfs
from tests.support.servers import ROOT, free_port

SHARDS, ROWS = 500, 100  # and so 1,000 results of tokenize and tensors
STAGES = ("tokenize", "tensors")
PLAN_BAR = 5.0  # seconds


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__ and __doc__.splitlines()[0])
    parser.add_argument("--shards", type=int, default=SHARDS, help="shards of training reviews")
    parser.add_argument("--rows", type=int, default=ROWS, help="reviews in a shard")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write the results to this file"
    )
    options = parser.parse_args(arguments)
    if min(options.shards, options.rows) < 1:
        parser.error("--shards and --rows must be at least 1")
    result = {
        "benchmark": "cluster",
        "machine": describe_machine(),
        "data": "generated reviews",
        "shards": options.shards,
        "rows": options.rows,
        **measure(options.shards, options.rows),
    }
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    show(result, Console(width=100, highlight=False))
    return 0


def measure(shards: int, rows: int) -> dict[str, Any]:
    """Run each way once, from scratch; return the seconds."""
    folder = Path(mkdtemp(prefix="sentiment-cluster-"))
    settings = ["--data", str(folder / "data"), "--set", f"ingest.shard_size={rows}"]
    ways = []
    try:
        in_fresh_process(write_sample, folder / "data", train=shards * rows, test=rows, seed=1)
        local = str(folder / "local")
        here = [*settings, "--runner", "processes"]
        ways.append(run("no cluster", 2, local, here, {}))
        (folder / "weed").mkdir()
        with seaweedfs(folder / "weed") as address:
            env = environment(address)
            os.environ |= env  # this process reads the manifests
            for count in (1, 2):
                url = f"s3://{BUCKET}/{count}"
                with dask_workers(count, folder, env) as runner:
                    driver = {**env, "SENTIMENT_CACHE": str(folder / f"driver-{count}")}
                    more = [*settings, "--runner", runner]
                    ways.append(run(f"Dask, workers: {count}", count, url, more, driver))
            another = {**env, "SENTIMENT_CACHE": str(folder / "another-machine")}
            plans = {
                "folder": plan(local, settings, {}),
                "SeaweedFS": plan(url, settings, another),
            }
    finally:
        shutil.rmtree(folder)
    return {"ways": ways, "plan_seconds": plans, "plan_bar": PLAN_BAR}


def run(
    way: str, workers: int, place: str, options: Sequence[str], env: Mapping[str, str]
) -> dict[str, Any]:
    """Run to the tensors; return each stage's seconds, and the seconds in its function."""
    command = sentiment("run", "--until", "tensors", "--storage", place, *options, "--json")
    done = subprocess.run(
        command, stdout=subprocess.PIPE, cwd=ROOT, env={**os.environ, **env}, check=True
    )
    seconds = {s["stage"]: s["seconds"] for s in json.loads(done.stdout)["stages"]}
    store, stages = Store.at(place), {}
    for name in STAGES:
        manifests = store.results(name)
        work = sum(manifest.seconds for manifest in manifests)
        stages[name] = {
            "seconds": seconds[name],
            "work_seconds": work,
            "requests": len(manifests),
            "overhead": (seconds[name] * workers - work) / len(manifests),
        }
    return {"way": way, "workers": workers, "stages": stages}


def plan(place: str, options: Sequence[str], env: Mapping[str, str]) -> float:
    """Return the seconds of a plan of what is there, with the start of Python."""
    started = time.perf_counter()
    subprocess.run(
        sentiment("plan", "--storage", place, *options),
        stdout=subprocess.DEVNULL,
        cwd=ROOT,
        env={**os.environ, **env},
        check=True,
    )
    return time.perf_counter() - started


def sentiment(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "flows.cli", *arguments]


@contextmanager
def dask_workers(count: int, folder: Path, env: Mapping[str, str]) -> Iterator[str]:
    """Run a scheduler and workers of one thread, each with a cache of its own; yield the runner."""
    port = free_port()
    here = ("--host", "127.0.0.1", "--no-dashboard")
    python = (sys.executable, "-m")
    with ExitStack() as stack:
        scheduler = (*python, "distributed.cli.dask_scheduler", "--port", str(port), *here)
        stack.enter_context(running(*scheduler))
        for number in range(count):
            cache = {"SENTIMENT_CACHE": str(folder / f"worker-{count}-{number}")}
            address = f"tcp://127.0.0.1:{port}"
            worker = (*python, "distributed.cli.dask_worker", address, "--nthreads", "1", *here)
            stack.enter_context(running(*worker, PYTHONPATH=str(ROOT), **env, **cache))
        yield f"dask://127.0.0.1:{port}"


def show(result: Mapping[str, Any], console: Console) -> None:
    """Print the results."""
    for line in machine_lines(result["machine"]):
        console.print(line)
    console.print(
        f"{result['shards']:,} shards of {result['rows']:,} {result['data']}. Overhead: a worker's "
        "seconds for each shard\nbeside those in the stage's function.\n"
    )
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("way", no_wrap=True)
    for name in STAGES:
        table.add_column(f"{name}, s", justify="right")
        table.add_column("overhead, s", justify="right")
    for way in result["ways"]:
        cells = [
            cell
            for stage in way["stages"].values()
            for cell in (f"{stage['seconds']:.1f}", f"{stage['overhead']:.3f}")
        ]
        table.add_row(way["way"], *cells)
    console.print(table)
    (folder, url), results = result["plan_seconds"].values(), 2 * (result["shards"] + 1)
    console.print(
        f"A plan of {results:,} results of these stages: folder {folder:.1f} s, SeaweedFS with an "
        f"empty cache {url:.1f} s (bar {PLAN_BAR:.0f}, {'met' if url <= PLAN_BAR else 'not met'})."
    )


if __name__ == "__main__":
    sys.exit(main())
