"""kill -9 at random moments: whatever is left, the next run ends with the same results."""

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.forks import Forks
from tests.support.runs import TINY

KILLS = 20
SMALLER = ("sample.train=120", "sample.test=40", "ingest.shard_size=30")
# Long enough that a signal meets it at work, even if this process has to wait for its turn.
TRAINING = (*SMALLER, "train.epochs=60", "train.checkpoint_every=8", "train.log_every=5")


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Forks]:
    forks = Forks(tmp_path / "warm", [*TINY, *SMALLER])
    yield forks
    forks.close()


def test_a_run_after_a_kill_ends_as_if_undisturbed(pipeline: Forks, tmp_path: Path) -> None:
    rng = random.Random(20)
    lengths, digests = [], set()
    for name in ("undisturbed", "again"):
        begin = time.monotonic()
        pipeline.start(tmp_path / name)
        digests.add(pipeline.digest())
        lengths.append(time.monotonic() - begin)
    (expected,) = digests
    assert expected is not None
    killed = tried = 0
    while killed < KILLS:
        tried += 1
        assert tried <= 5 * KILLS, "most runs come to their end before the signal"
        storage = tmp_path / str(tried)
        pipeline.start(storage)
        time.sleep(rng.uniform(0, min(lengths)))
        pipeline.send(signal.SIGKILL)
        if pipeline.digest() is not None:
            continue
        killed += 1
        pipeline.start(storage)
        assert pipeline.digest() == expected, f"after kill {killed}"
        left = [path for path in storage.glob("*/.*") if path.parent.name != "locks"]
        assert left == [], f"after kill {killed}"


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    forks = Forks(tmp_path_factory.mktemp("warm"), [*TINY, *TRAINING], until="train")
    yield forks
    forks.close()


@pytest.fixture(scope="module")
def undisturbed(training: Forks, tmp_path_factory: pytest.TempPathFactory) -> str:
    training.start(tmp_path_factory.mktemp("undisturbed"))
    digest = training.digest()
    assert digest is not None
    return digest


def checkpoints(storage: Path) -> list[Path]:
    return list((storage / "checkpoints").glob("*/step-*"))


def stop(training: Forks, storage: Path, number: signal.Signals, after: float) -> None:
    """Send a signal some time after the first checkpoint is there."""
    training.start(storage)
    deadline = time.monotonic() + 60
    while not checkpoints(storage) and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(after)
    training.send(number)
    assert training.digest() is None


@pytest.mark.parametrize(
    ("seed", "number"),
    [*enumerate([signal.SIGKILL] * 3 + [signal.SIGTERM, signal.SIGINT])],
)
def test_stopped_training_resumes_and_ends_with_the_same_model(
    training: Forks, undisturbed: str, tmp_path: Path, seed: int, number: signal.Signals
) -> None:
    rng = random.Random(seed)
    for _ in range(2):
        stop(training, tmp_path / "stopped", number, rng.uniform(0, 0.1))
    assert checkpoints(tmp_path / "stopped")
    assert not list((tmp_path / "stopped" / "train").glob("[!.]*"))
    training.start(tmp_path / "stopped")
    assert training.digest() == undisturbed
    assert not checkpoints(tmp_path / "stopped")
