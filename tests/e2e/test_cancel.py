"""A run cancelled by a worker: training ends at a checkpoint, and soon."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import TINY
from tests.e2e.conftest import ROOT, TIMEOUT, end

LONG = [*TINY, "train.epochs=100000", "train.checkpoint_every=1000000"]
POOL = "cancelling"


def prefect(env: dict[str, str], *arguments: str) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        cwd=ROOT,
        env={**os.environ, **env},
    )
    assert process.returncode == 0, process.stdout + process.stderr


def wait_for(what: Callable[[], Any], seconds: float = TIMEOUT) -> Any:
    """Return what becomes true in the end."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "it did not come in time"
        time.sleep(0.1)
    return found


@pytest.fixture
def deployed(server: dict[str, str], tmp_path: Path) -> Iterator[dict[str, str]]:
    """A deployment of the pipeline and a worker for it; the environment to reach them."""
    prefect(server, "work-pool", "create", POOL, "--type", "process")
    prefect(server, "deploy", "flows/pipeline.py:pipeline", "--name", POOL, "--pool", POOL)
    log = (tmp_path / "worker.log").open("w")
    worker = subprocess.Popen(
        [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--type", "process"],
        cwd=ROOT,
        env={**os.environ, **server, "PREFECT_WORKER_QUERY_SECONDS": "1"},
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield server
    finally:
        end(worker)
        log.close()


def test_cancelled_training_saves_a_checkpoint_and_ends(
    deployed: dict[str, str], tmp_path: Path
) -> None:
    storage = tmp_path / "storage"
    api = httpx.Client(base_url=deployed["PREFECT_API_URL"], timeout=30)
    deployment = api.get(f"/deployments/name/pipeline/{POOL}").raise_for_status().json()["id"]
    create = f"/deployments/{deployment}/create_flow_run"
    refused = api.post(create, json={"parameters": {"settings": {"train": {"epochs": 0}}}})
    assert refused.status_code == 409
    assert "0 is less than the minimum of 1" in refused.text
    parameters = {"storage": str(storage), "overrides": LONG}
    run = api.post(create, json={"parameters": parameters}).raise_for_status().json()["id"]

    def training() -> bool:
        return any(
            json.loads(path.read_bytes())["done"]
            for path in storage.glob("runs/*/progress/train-*.json")
        )

    def state() -> str:
        answer = api.get(f"/flow_runs/{run}").raise_for_status().json()
        return str(answer["state_name"])

    wait_for(training)
    assert state() == "Running"
    assert not list(storage.glob("checkpoints/*/step-*"))
    # What the UI and `prefect flow-run cancel` do.
    cancelling = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
    api.post(f"/flow_runs/{run}/set_state", json=cancelling).raise_for_status()
    wait_for(lambda: list(storage.glob("checkpoints/*/step-*")))
    wait_for(lambda: state() not in ("Running", "Cancelling"))
    assert state() == "Cancelled"
    (record,) = storage.glob("runs/*/run.json")
    assert json.loads(record.read_bytes())["state"] == "failed"
