"""kill -9 at random moments: whatever is left, the next run ends with the same results."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import TINY
from tests.e2e.conftest import ROOT

KILLS = 20
SMALLER = ("sample.train=120", "sample.test=40", "ingest.shard_size=30")

# Loads everything once by a run of its own, then forks: a child runs the pipeline and may be killed,
# which costs no start-up time again. Prints the digest of the results of a run that ends.
DRIVER = """
import os, sys
from pathlib import Path
from flows.config import load_config
from flows.walk import Job
from tasks.manifest import digest_outputs
from tasks.store import Store
from tests.conftest import run_plainly

def run(storage):
    return run_plainly(Job("sample", load_config("sample", overrides), None, Store(Path(storage))))

warm, *overrides = sys.argv[1:]
run(warm)
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


class Driver:
    """A process that runs the pipeline in children."""

    def __init__(self, warm: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(warm), *TINY, *SMALLER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def start(self, storage: Path) -> int:
        """Begin a run; return the child's process id."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{storage}\n")
        self._process.stdin.flush()
        return int(self._line().removeprefix("child "))

    def digest(self) -> str | None:
        """Wait for the child's end; return the digest of its results if it reached its end."""
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


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    driver = Driver(tmp_path / "warm")
    yield driver
    driver.close()


def test_a_run_after_a_kill_ends_as_if_undisturbed(driver: Driver, tmp_path: Path) -> None:
    rng = random.Random(20)
    driver.start(tmp_path / "undisturbed")
    expected = driver.digest()
    assert expected is not None
    begin = time.monotonic()
    driver.start(tmp_path / "timed")
    assert driver.digest() == expected
    length = time.monotonic() - begin
    killed = 0
    for number in range(KILLS):
        storage = tmp_path / str(number)
        child = driver.start(storage)
        time.sleep(rng.uniform(0, length))
        with suppress(ProcessLookupError):  # it may have reached its end
            os.kill(child, signal.SIGKILL)
        killed += driver.digest() is None
        driver.start(storage)
        assert driver.digest() == expected, f"after kill {number}"
        left = [path for path in storage.glob("*/.*") if path.parent.name != "locks"]
        assert left == [], f"after kill {number}"
    assert killed >= KILLS // 2  # the others had ended before the signal came
