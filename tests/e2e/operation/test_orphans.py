"""kill -9 of a run: its worker processes end too."""

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil

from tests.support.runs import TINY
from tests.support.servers import ROOT, TIMEOUT, command, end


def test_worker_processes_end_with_a_killed_run(tmp_path: Path) -> None:
    overrides = (
        *TINY,
        "sample.train=40000",
        "ingest.shard_size=5000",
        "run.workers=2",
        "run.runner=processes",
    )
    options = [option for setting in overrides for option in ("--set", setting)]
    process = subprocess.Popen(
        command("run", *options, "--until", "tokenize"),
        stderr=subprocess.DEVNULL, cwd=ROOT, start_new_session=True,
        env={**os.environ, "SENTIMENT_STORAGE": str(tmp_path)},
    )  # fmt: skip
    children: list[psutil.Process] = []
    try:
        deadline = time.monotonic() + TIMEOUT
        while len([*tmp_path.glob("runs/*/progress/tokenize-*.json")]) < 2:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        children = psutil.Process(process.pid).children(recursive=True)
        workers = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
        assert len(workers) == 2
        process.send_signal(signal.SIGKILL)
        _, alive = psutil.wait_procs(children, timeout=20)
        assert alive == []
    finally:
        end(process)
        for child in children:
            if child.is_running():
                child.kill()
