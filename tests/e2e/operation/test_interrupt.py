"""Ctrl-C and SIGTERM, sent to the command and all processes that it started; its server's end.

So a terminal sends Ctrl-C, and `timeout` and systemd SIGTERM.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest
import yaml
from optuna.trial import TrialState

from tests.support.servers import ROOT, TIMEOUT, command, end, result_of, run_sentiment

PROMPTLY = 15  # seconds, within which an interrupted command ends
PRESET = {
    "sample": {"train": 300, "test": 120, "seed": 1},
    "ingest": {"shard_size": 100},
    "train": {
        "model": {"embedding_size": 8, "hidden_size": 8},
        "epochs": 40,
        "checkpoint_every": 1_000_000,
        "max_loss": None,
        "device": "cpu",
    },
    "promote": {"beat_majority": False, "match_baseline": False},
    "run": {"runner": "threads"},
    "tune": {"train.learning_rate": {"low": 0.001, "high": 0.01}},
}


@pytest.fixture
def preset(tmp_path: Path) -> Path:
    """A preset that trains for some seconds and saves no checkpoint by itself."""
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(PRESET))
    return path


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Any]:
    """Return a function that starts a command in a new process group."""
    processes = []

    def start(*arguments: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            command(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "COLUMNS": "80", "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        end(process)


def wait_for_training(process: "subprocess.Popen[str]", storage: Path) -> None:
    """Wait until the command trains."""
    deadline = time.monotonic() + TIMEOUT
    while not any(done_in(path) for path in storage.glob("runs/*/progress/train-*.json")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)


def interrupt_training(
    process: "subprocess.Popen[str]", storage: Path, number: signal.Signals
) -> str:
    """Send a signal while the command trains; return what it wrote to stderr."""
    wait_for_training(process, storage)
    os.killpg(process.pid, number)
    stdout, stderr = process.communicate(timeout=PROMPTLY)
    assert process.returncode == 128 + number, stderr
    assert stdout == ""
    return stderr


def server_of(process: "subprocess.Popen[str]") -> psutil.Process:
    """Return the ephemeral server that a command has started."""
    (server,) = (
        child
        for child in psutil.Process(process.pid).children()
        if any("ephemeral.py" in argument for argument in child.cmdline())
    )
    return server


def done_in(progress: Path) -> int:
    return int(json.loads(progress.read_bytes())["done"])


@pytest.mark.parametrize(
    ("name", "number"),
    [("run", signal.SIGINT), ("tune", signal.SIGINT), ("run --force train", signal.SIGTERM)],
)
def test_an_interrupted_command_says_so_and_resumes(
    name: str, number: signal.Signals, preset: Path, started: Any, tmp_path: Path
) -> None:
    storage = tmp_path / "storage"
    arguments = [*name.split(), "--preset", str(preset), "--storage", str(storage), "--json"]
    if name != "tune":
        arguments += ["--until", "train"]
    else:
        arguments += ["--trials", "1", "--out", str(tmp_path / "best.yaml")]
    stderr = interrupt_training(started(*arguments), storage, number)
    assert stderr.splitlines()[-1] == "Interrupted. Run the same command to resume."
    assert "Traceback" not in stderr
    assert len(list(storage.glob("checkpoints/train-*/step-*"))) == 1
    assert not list(storage.glob("train/[!.]*"))
    (record,) = storage.glob("runs/*/run.json")
    assert json.loads(record.read_bytes())["state"] == "cancelled"
    resumed = run_sentiment(*arguments, OMP_NUM_THREADS="1")
    result = result_of(resumed)
    assert not list(storage.glob("checkpoints/*"))
    if name != "tune":
        assert "resuming from the checkpoint at step" in resumed.stderr
    if name == "tune":
        assert result["trials"] == {"complete": 1, "pruned": 0, "failed": 0}
        file = storage / "tune/tiny-tuned.db"
        study = optuna.load_study(study_name="tiny-tuned", storage=f"sqlite:///{file}")
        stopped, again = study.trials
        assert (stopped.state, again.state) == (TrialState.FAIL, TrialState.COMPLETE)
        assert stopped.params == again.params
        tried = [trial.user_attrs["values"] for trial in (stopped, again)]
        assert tried == [result["values"]] * 2  # the parameters with few digits


def test_a_killed_command_leaves_no_server_behind(
    preset: Path, started: Any, tmp_path: Path
) -> None:
    process = started("run", "--preset", str(preset), "--storage", str(tmp_path / "storage"))
    wait_for_training(process, tmp_path / "storage")
    children = psutil.Process(process.pid).children(recursive=True)
    assert server_of(process)
    process.kill()
    process.communicate(timeout=TIMEOUT)
    _, alive = psutil.wait_procs(children, timeout=TIMEOUT)
    assert not alive


def test_a_run_whose_server_dies_says_so_and_keeps_its_checkpoint(
    preset: Path, started: Any, tmp_path: Path
) -> None:
    storage = tmp_path / "storage"
    process = started("run", "--preset", str(preset), "--storage", str(storage))
    wait_for_training(process, storage)
    server_of(process).kill()
    _, stderr = process.communicate(timeout=PROMPTLY)
    assert process.returncode == 1
    assert stderr.splitlines()[-2].startswith("train      to run")
    assert stderr.splitlines()[-1] == (
        "Error: Prefect's ephemeral server has ended, and with it this run. What is finished is "
        "kept: run the same command again."
    )
    assert len(list(storage.glob("checkpoints/train-*/step-*"))) == 1
    assert len(list(storage.glob("tensors/[!.]*/manifest.json"))) > 0


def test_worker_processes_end_with_a_run_whose_server_dies(
    preset: Path, started: Any, tmp_path: Path
) -> None:
    storage = tmp_path / "storage"
    process = started(
        "run", "--preset", str(preset), "--storage", str(storage), "--runner", "processes",
        "--until", "tokenize", "--set", "sample.train=40000", "--set", "ingest.shard_size=5000",
        "--set", "run.workers=2",
    )  # fmt: skip
    deadline = time.monotonic() + TIMEOUT
    while len([*storage.glob("runs/*/progress/tokenize-*.json")]) < 2:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    children = psutil.Process(process.pid).children(recursive=True)
    server_of(process).kill()
    _, stderr = process.communicate(timeout=PROMPTLY)
    assert process.returncode == 1
    assert "ephemeral server has ended" in stderr.splitlines()[-1]
    _, alive = psutil.wait_procs(children, timeout=PROMPTLY)
    assert alive == []


# Prefect's client does so for a minute while it repeats a request.
DEAF = """
import time
from flows.server.ephemeral import prepare_prefect, start_server

prepare_prefect(debug=False)
with start_server()():
    print("up", flush=True)
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass
"""


def test_a_run_that_does_not_hear_of_its_server_s_end_is_ended(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", DEAF],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        env={**os.environ, "PREFECT_HOME": str(tmp_path)}, start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        server_of(process).kill()
        _, stderr = process.communicate(timeout=PROMPTLY)
    finally:
        end(process)
    assert process.returncode == 1
    assert stderr.startswith("Error: Prefect's ephemeral server has ended")
