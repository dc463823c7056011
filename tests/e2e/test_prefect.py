"""With a real Prefect server: two pipelines at once, prefect.yaml, and a run by a worker."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from flows.walk import STAGE_NAMES
from tests.conftest import TINY, write_small_data
from tests.e2e.conftest import ROOT, TIMEOUT, end, result_of, run_sentiment

SETTINGS = [option for setting in TINY for option in ("--set", setting)]


def prefect(env: dict[str, str], *arguments: str) -> str:
    process = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        cwd=ROOT,
        env={**os.environ, **env},
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def test_two_pipelines_at_once_do_the_work_once(server: dict[str, str], tmp_path: Path) -> None:
    data = write_small_data(tmp_path / "data")

    def run(_: int) -> dict[str, Any]:
        return result_of(
            run_sentiment(
                "run", *SETTINGS, "--data", str(data), "--json",
                SENTIMENT_STORAGE=str(tmp_path / "storage"), **server,
            )
        )  # fmt: skip

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(run, range(2))
    for first, second in zip(one["stages"], other["stages"], strict=True):
        assert first["digest"] == second["digest"]
        states = sorted([first["state"], second["state"]])
        mapped = first["stage"] in ("ingest", "tokenize", "tensors")
        assert states == ["cached", "completed"] or (mapped and states == ["completed"] * 2)
    assert one["accuracy"] == other["accuracy"]


def test_every_flow_is_deployed_and_a_worker_runs_it(
    server: dict[str, str], tmp_path: Path
) -> None:
    names = {
        entry["name"]
        for entry in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    }
    assert names >= {"pipeline", *STAGE_NAMES}
    prefect(server, "work-pool", "create", "cpu", "--type", "process")
    prefect(server, "deploy", "--all")
    listed = prefect(server, "deployment", "ls", "-o", "json")
    assert {entry["name"] for entry in json.loads(listed)} >= names
    data = write_small_data(tmp_path / "data")
    parameters = {
        "preset": "sample",
        "data": str(data),
        "storage": str(tmp_path / "storage"),
        "overrides": list(TINY),
    }
    worker = subprocess.Popen(
        [sys.executable, "-m", "prefect", "worker", "start", "--pool", "cpu", "--type", "process"],
        cwd=ROOT,
        env={**os.environ, **server},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        for flow in ("pipeline", "report"):
            prefect(
                server, "deployment", "run", f"{flow}/{flow}", "--watch",
                "--params", json.dumps(parameters),
            )  # fmt: skip
    finally:
        end(worker)
    assert len(list((tmp_path / "storage" / "report").glob("*/report.html"))) == 1
    assert "Accuracy" in prefect(server, "artifact", "inspect", "evaluation")
