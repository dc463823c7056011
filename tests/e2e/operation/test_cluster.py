"""A run over several machines: an object storage, a Dask cluster, a worker that trains.

Each machine is a set of processes with a home, an environment and a cache of its own. They share
the object storage and nothing else.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from prefect.client.schemas.filters import FlowFilter, FlowFilterName

from tasks.manifest import Manifest
from tasks.store import Store
from tasks.store.objects import Objects
from tasks.store.remote import MANIFEST, place_of
from tests.e2e.operation.conftest import started
from tests.e2e.operation.service import Service, until
from tests.support.runs import TINY
from tests.support.s3 import environment
from tests.support.servers import ROOT, command, end, free_port, result_of, run_sentiment

pytest.importorskip("distributed")

SETTINGS = (
    *TINY,
    "sample.train=20000",
    "sample.test=2000",
    "ingest.shard_size=5000",
    "train.checkpoint_every=20",
    "run.retry_delay=1",
)
OPTIONS = [word for each in SETTINGS for word in ("--set", each)]


class Machine:
    """The environment of a machine; ``start`` starts a program on it."""

    def __init__(self, home: Path, **env: str) -> None:
        home.mkdir()
        self.home, self.cache = home, home / ".cache" / "sentiment"
        kept = {name: os.environ[name] for name in ("PATH",) if name in os.environ}
        self.env = {**kept, "HOME": str(home), "PYTHONPATH": str(ROOT), **env}

    @contextmanager
    def start(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """Start Python; end it, and all that it started, at the end of the block."""
        with (self.home / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=self.home,
                env=self.env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            try:
                yield process
            finally:
                end(process)

    def files(self, pattern: str) -> list[Path]:
        return sorted(self.cache.glob(f"*/{pattern}"))


@pytest.fixture
def cluster(s3: str, tmp_path: Path) -> Iterator[tuple[str, dict[Machine, psutil.Process]]]:
    """The address of a Dask scheduler, and its two workers on their machines."""
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    with ExitStack() as stack:
        scheduler = Machine(tmp_path / "scheduler")
        here = ("--host", "127.0.0.1", "--no-dashboard")
        module = ("-m", "distributed.cli.dask_scheduler", "--port", str(port), *here)
        stack.enter_context(scheduler.start(*module))
        workers = {}
        for name in ("one", "two"):
            machine = Machine(tmp_path / name, **environment(s3))
            module = ("-m", "distributed.cli.dask_worker", address, "--nthreads", "1", *here)
            process = stack.enter_context(machine.start(*module))
            workers[machine] = psutil.Process(process.pid)
        yield address.replace("tcp://", "dask://"), workers


@pytest.fixture
def trainer(s3: str, tmp_path: Path) -> Iterator[Service]:
    """A Prefect server, and the worker of the pool gpu, which trains in a cache of its own."""
    (tmp_path / "trainer").mkdir()
    cache = {"SENTIMENT_CACHE": str(tmp_path / "trainer" / "cache")}
    with started(tmp_path / "trainer", **environment(s3), **cache) as service:
        yield service


def digests(result: dict[str, Any]) -> dict[str, str]:
    return {stage["stage"]: stage["digest"] for stage in result["stages"]}


def test_workers_that_are_killed_do_not_change_a_byte(
    s3: str,
    url: str,
    cluster: tuple[str, dict[Machine, psutil.Process]],
    trainer: Service,
    tmp_path: Path,
) -> None:
    address, workers = cluster
    driver = {
        "SENTIMENT_CACHE": str(tmp_path / "driver"),
        "PREFECT_API_URL": trainer.url,
        "PREFECT_API_AUTH_STRING": trainer.secret,
    }
    places = ["--storage", url, "--runner", address, "--set", "run.train_on=gpu-pool"]
    process = subprocess.Popen(
        command("run", *places, *OPTIONS, "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, **driver},
        start_new_session=True,
    )
    try:
        lost = kill_one_in_mid_shard(process, workers)
        kill_the_training(process, trainer, Objects(url))
        output, said = process.communicate(timeout=300)
    finally:
        end(process)
    assert process.returncode == 0, said
    result = json.loads(output)
    assert "Sending it again (1 of 2)" in said
    (trained,) = Store.at(url).results("train")
    assert trained.stats["seconds_before"] > 0  # it has resumed, from what the storage had
    other = next(machine for machine in workers if machine is not lost)
    assert other.files("tokenize/*/tokens.parquet")

    local = run_sentiment("run", "--storage", str(tmp_path / "local"), *OPTIONS, "--json")
    assert digests(result_of(local)) == digests(result)

    freed = run_sentiment("gc", "--storage", url, "--keep-runs", "1", "--grace", "0", **driver)
    assert freed.returncode == 0, freed.stderr
    assert unnamed(Objects(url)) == []
    plan = run_sentiment("plan", *places, *OPTIONS, "--exit-code", **driver)
    assert plan.returncode == 0, plan.stdout + plan.stderr


def kill_one_in_mid_shard(
    run: subprocess.Popen[str], workers: dict[Machine, psutil.Process]
) -> Machine:
    """Kill -9 all processes of a worker machine while it tokenizes a shard; return the machine."""

    def at_work() -> Machine | None:
        assert run.poll() is None, run.communicate()
        return next((m for m in workers if m.files("tokenize/.*-*")), None)

    machine: Machine = until("a shard under way", at_work, every=0.005)
    nanny = workers[machine]
    for process in (nanny, *nanny.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    return machine


def kill_the_training(run: subprocess.Popen[str], trainer: Service, objects: Objects) -> None:
    """Kill -9 the process that trains, with its cache, once a checkpoint is in the storage."""

    def is_under_way() -> bool:
        assert run.poll() is None, run.communicate()
        return any(".safetensors" in listed.path for listed in objects.list("checkpoints"))

    until("a checkpoint in the storage", is_under_way, every=0.1)
    by_name = FlowFilter(name=FlowFilterName(any_=["train-request"]))
    (flow_run,) = trainer.client.read_flow_runs(flow_filter=by_name)
    killed = trainer.processes_of(flow_run.id)
    for process in killed:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(killed)
    for folder in trainer.folder.glob("cache/*/checkpoints"):
        shutil.rmtree(folder)  # as on another machine


def unnamed(objects: Objects) -> list[str]:
    """Return the objects of results that no manifest names."""
    paths = {listed.path for listed in objects.list()}
    kinds = ("runs/", "models/", "digests/", "requests/", ".sentiment-storage")
    results = {path for path in paths if not path.startswith(kinds)}
    named = {path for path in results if path.endswith(f"/{MANIFEST}")}
    for path in sorted(named):
        seen = objects.get(path)
        assert seen is not None
        named |= {place_of(artifact) for artifact in Manifest.from_json(seen.content).outputs}
    return sorted(path for path in results - named if not path.endswith("/README.md"))
