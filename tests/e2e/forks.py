"""Pipelines in child processes that cost no start-up time, to be killed at any moment."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.support.servers import ROOT

# Loads everything once by a run of its own, then forks a child for each line that it is sent. The
# child writes "done" and the digest of its results when it comes to its end.
PROGRAM = """
import os, signal, sys
from pathlib import Path
from flows.config.presets import load_config
from tasks.run.spec import RunSpec
from tasks.manifest import digest_outputs
from tasks.store import Store
from tests.support.runs import run_plainly

def run(storage):
    spec = RunSpec("sample", load_config("sample", overrides), None, Store(Path(storage)))
    return run_plainly(spec, until=until or None)

until, warm, *overrides = sys.argv[1:]
run(warm)
os.write(1, b"ready\\n")
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        done = run(line.strip())
        digest = digest_outputs(m for manifests in done.values() for m in manifests)
        os.write(1, f"done {digest}\\n".encode())
        os._exit(0)
    os.write(1, f"child {child}\\n".encode())
    os.waitpid(child, 0)
    os.write(1, b"ended\\n")
"""


class Forks:
    """A process that runs the pipeline in children, one at a time, on generated reviews."""

    def __init__(self, warm: Path, settings: Sequence[str], until: str = "") -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, until, str(warm), *settings],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert self._line() == "ready"
        self._child = 0

    def start(self, storage: Path) -> None:
        """Begin a run in a child."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{storage}\n")
        self._process.stdin.flush()
        self._child = int(self._line().removeprefix("child "))

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the child, which may have come to its end."""
        with suppress(ProcessLookupError):
            os.kill(self._child, number)

    def digest(self) -> str | None:
        """Wait for the child's end; return the digest of its results if it came that far."""
        line = self._line()
        if line == "ended":
            return None
        assert self._line() == "ended"
        return line.removeprefix("done ")

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        self._process.communicate(timeout=30)
