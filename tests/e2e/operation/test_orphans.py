"""kill -9 of a run: the processes that it started end too."""

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.support.runs import TINY
from tests.support.servers import ROOT, TIMEOUT, command, end

TOKENIZING = ("sample.train=40000", "ingest.shard_size=5000", "run.workers=2")
TRAINING = ("train.processes=2", "train.epochs=100000", "train.device=cpu")


@pytest.mark.parametrize(
    ("stage", "settings", "workers"),
    [("tokenize", ("run.runner=processes", *TOKENIZING), 2), ("train", TRAINING, 1)],
)
def test_what_a_killed_run_started_ends_with_it(
    tmp_path: Path, stage: str, settings: tuple[str, ...], workers: int
) -> None:
    options = [option for setting in (*TINY, *settings) for option in ("--set", setting)]
    process = subprocess.Popen(
        command("run", *options, "--until", stage),
        stderr=subprocess.DEVNULL, cwd=ROOT, start_new_session=True,
        env={**os.environ, "SENTIMENT_STORAGE": str(tmp_path)},
    )  # fmt: skip
    children: list[psutil.Process] = []
    try:
        deadline = time.monotonic() + TIMEOUT
        while len([*tmp_path.glob(f"runs/*/progress/{stage}-*.json")]) < workers:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        children = psutil.Process(process.pid).children(recursive=True)
        spawned = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
        assert len(spawned) == workers
        process.send_signal(signal.SIGKILL)
        _, alive = psutil.wait_procs(children, timeout=10)
        assert alive == []
    finally:
        end(process)
        for child in children:
            if child.is_running():
                child.kill()
