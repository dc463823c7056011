"""Training in processes of torchrun and of its own: the same bytes, stopped, killed and resumed."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import psutil
import pytest

from flows.config.presets import load_config
from flows.run.request_file import read_request, write_request
from tasks import train
from tasks.run.spec import RunSpec
from tasks.store import Store
from tasks.store.run_records import read_runs
from tests.support.runs import TINY, collect_garbage, run_plainly
from tests.support.servers import ROOT, TIMEOUT, command, end

PROCESSES = 2
# A signal sent after the first checkpoint meets it at work.
SETTINGS = (
    "train.processes=2", "train.device=cpu", "train.epochs=100", "train.checkpoint_every=8",
    "train.model.head_dropout=0.2",
)  # fmt: skip
ENV = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "COLUMNS": "80"}

Popen: TypeAlias = "subprocess.Popen[str]"
Start: TypeAlias = Callable[..., Popen]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage folder with all that training reads, and the request for it."""
    root = tmp_path_factory.mktemp("prepared")
    spec = RunSpec("sample", load_config("sample", [*TINY, *SETTINGS]), None, Store(root))
    (request,) = train.requests(spec, run_plainly(spec, until="tensors"))
    write_request(request, root / "request.json")
    return root


@pytest.fixture
def storage(prepared: Path, tmp_path: Path) -> Path:
    return shutil.copytree(prepared, tmp_path / "storage")


@pytest.fixture
def start() -> Iterator[Start]:
    """Return a function that starts training, by torchrun or not."""
    started: list[Popen] = []

    def begin(way: str, storage: Path, *, processes: int = PROCESSES) -> Popen:
        given = ["train-request", str(storage / "request.json"), "--storage", str(storage)]
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        launch = [*torchrun, "--nproc-per-node", str(processes), "-m", "flows.cli", *given]
        process = subprocess.Popen(
            launch if way == "torchrun" else command(*given),
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=ROOT,
            env={**os.environ, **ENV}, start_new_session=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield begin
    for process in started:
        end(process)


def finish(process: Popen) -> str:
    """Wait for a training run to succeed; return what it wrote."""
    _, stderr = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, stderr
    return stderr


def model(storage: Path) -> bytes:
    (path,) = storage.glob("train/[!.]*/model.safetensors")
    assert not list(storage.glob("checkpoints/*"))
    assert not list(storage.glob("train/.*"))
    return path.read_bytes()


def checkpoints(storage: Path) -> list[Path]:
    return sorted(storage.glob("checkpoints/*/step-*"))


def wait_for_checkpoint(process: Popen, storage: Path) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not checkpoints(storage):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)


def other_process(process: Popen, way: str) -> psutil.Process:
    """Return the process that is rank 1."""
    (found,) = (
        child
        for child in psutil.Process(process.pid).children()
        if "spawn_main" in " ".join(child.cmdline()) or child.environ().get("RANK") == "1"
    )
    return found


@pytest.fixture(scope="module")
def expected(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The model that two processes of our own train undisturbed."""
    storage = shutil.copytree(prepared, tmp_path_factory.mktemp("undisturbed") / "storage")
    request = read_request(storage / "request.json")
    done = subprocess.run(
        command("train-request", str(storage / "request.json"), "--storage", str(storage)),
        capture_output=True, text=True, timeout=TIMEOUT, cwd=ROOT, env={**os.environ, **ENV},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (storage / "train" / request.key / "manifest.json").is_file()
    return model(storage)


def test_torchrun_trains_the_same_model_once(start: Start, storage: Path, expected: bytes) -> None:
    assert "train      done in" in finish(start("torchrun", storage))
    assert model(storage) == expected
    assert "train      cached" in finish(start("torchrun", storage))
    assert model(storage) == expected
    cached, trained = read_runs(Store(storage))
    assert (cached["state"], trained["state"]) == ("completed", "completed")
    assert (cached["computed"], trained["computed"]) == (False, True)
    collect_garbage(Store(storage))
    assert model(storage) == expected
    assert list(storage.glob("tensors/*/tensors.parquet"))


def test_another_number_of_processes_is_refused(start: Start, storage: Path) -> None:
    process = start("torchrun", storage, processes=1)
    _, stderr = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 1
    assert (
        "torchrun started 1 processes, but the request has train.processes 2. Start as many, "
        "`torchrun --nproc-per-node 2 -m flows.cli train-request FILE`"
    ) in stderr
    assert not list(storage.glob("train/*"))


@pytest.mark.parametrize("way", ["torchrun", "own"])
def test_stopped_training_resumes_and_ends_with_the_same_model(
    way: str, start: Start, storage: Path, expected: bytes
) -> None:
    process = start(way, storage)
    wait_for_checkpoint(process, storage)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=TIMEOUT)
    assert process.returncode != 0
    assert "Interrupted. Run the same command to resume." in stderr
    assert "lost its connection" not in stderr  # all have stopped after the same step
    assert checkpoints(storage) and not list(storage.glob("train/[!.]*"))
    finish(start(way, storage))
    assert model(storage) == expected


@pytest.mark.parametrize("way", ["torchrun", "own"])
def test_a_killed_process_ends_all_and_is_named_and_the_next_run_resumes(
    way: str, start: Start, storage: Path, expected: bytes
) -> None:
    process = start(way, storage)
    wait_for_checkpoint(process, storage)
    family = psutil.Process(process.pid).children(recursive=True)
    other_process(process, way).kill()
    _, stderr = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 1
    if way == "torchrun":
        assert re.search(r"rank +: 1 .*\n +exitcode +: -9 ", stderr), stderr
    else:
        assert "Training process 1 of 2 ended with exit code -9" in stderr
    _, alive = psutil.wait_procs(family, timeout=TIMEOUT)
    assert alive == []
    assert checkpoints(storage)
    finish(start("own" if way == "torchrun" else "torchrun", storage))  # either resumes
    assert model(storage) == expected
