"""Checkpoints in remote storage: what one machine began another one resumes."""

import hashlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flows.run.request_file import write_request
from sentiment.progress import Progress, silent
from tasks import train
from tasks.manifest import Artifact
from tasks.run.spec import RunSpec
from tasks.stage import Request
from tasks.store import Store, mirror
from tasks.store import objects as objects_module
from tasks.store.objects import Objects
from tests.support.runs import run_plainly
from tests.support.s3 import Faults, faults
from tests.tasks.store.test_store import Config, TestStage

STEPS = 6
KILLED_AFTER = 20  # steps


def walk(
    source: Path, *, config: Config, out: Path, checkpoints: Path, progress: Progress = silent
) -> dict[str, Any]:
    """A stage that writes a checkpoint after each step, and resumes from the newest."""
    checkpoints.mkdir(parents=True, exist_ok=True)
    begun = max((int(path.read_text()) for path in checkpoints.glob("step-*")), default=0)
    for step in range(begun + 1, STEPS + 1):
        digest = hashlib.sha256(str(step).encode()).hexdigest()[:16]
        unfinished = checkpoints / f".step-{step:012d}"
        unfinished.write_text(str(step))
        unfinished.rename(checkpoints / f"step-{step:012d}.{digest}.safetensors")
        progress(step)
    (out / "file").write_text("there")
    return {"begun": begun}


class At:
    """A listener that does something at a step."""

    def __init__(self, step: int, what: Callable[[], object]) -> None:
        self.seen: list[int] = []
        self._step, self._what = step, what

    def __call__(self, done: int, total: int | None = None, **figures: float) -> None:
        self.seen.append(done)
        if done == self._step:
            self._what()


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.fixture
def asked(tmp_path: Path) -> Request:
    path = tmp_path / "in.txt"
    path.write_text("hello ")
    source = Artifact("in.txt", str(path), hashlib.sha256(b"hello ").hexdigest(), 6, 0)
    stage = TestStage("shout", f"{__name__}:walk", reads=(), resumable=True)
    return Request(stage, "x", {"source": source}, {"config": Config()})


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "EVERY", 0.01)
    monkeypatch.setattr(mirror, "LATER", 0.01)


@pytest.fixture
def here(url: str, tmp_path: Path) -> Store:
    """The store at a URL, on one machine."""
    return Store(tmp_path / "here", Objects(url))


@pytest.fixture
def there(url: str, tmp_path: Path) -> Store:
    """The same store on another machine, with a cache of its own."""
    return Store(tmp_path / "there", Objects(url))


def mirrored(store: Store) -> list[str]:
    """Return what is under ``checkpoints/`` of the URL, without digests."""
    assert store.objects is not None
    paths = [listed.path for listed in store.objects.list("checkpoints")]
    return ["/".join(path.split("/")[2:]).partition(".")[0] for path in paths]


def interrupted(store: Store, asked: Request, *, at: int, force: bool = False) -> list[int]:
    """Build until a step; return the steps that were done."""
    listener = At(at, interrupt)
    with pytest.raises(KeyboardInterrupt):
        store.build(asked, force=force, progress=listener)
    return listener.seen


def steps_of_build(store: Store, asked: Request, *, force: bool = False) -> list[int]:
    listener = At(0, interrupt)
    assert store.build(asked, force=force, progress=listener).computed
    return listener.seen


def step(number: int, folder: str = "") -> str:
    return f"{folder}step-{number:012d}"


def wait_for(what: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if what():
            return
        time.sleep(0.01)
    raise AssertionError("not seen")


def no_thread_is_left() -> bool:
    return "mirror" not in {thread.name for thread in threading.enumerate()}


SCRIPT = """
    import os, signal, sys, time
    from pathlib import Path
    from flows.run.request_file import read_request
    from tasks.store import Store, mirror

    url, file, most = sys.argv[1:]
    mirror.EVERY = 0.01
    store, request = Store.at(url), read_request(Path(file))

    def progress(done, total=None, **figures):
        if done >= int(most):
            while not [*store.objects.list("checkpoints")]:
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)

    store.build(request, progress=progress)
"""


def test_after_kill_9_another_machine_resumes_to_the_same_bytes(
    make_spec: Callable[..., RunSpec], data: Path, url: str, tmp_path: Path
) -> None:
    settings = ("train.epochs=10", "train.batch_size=16", "train.checkpoint_every=4")
    spec = make_spec(data, *settings, storage=url)
    (request,) = train.requests(spec, run_plainly(spec, until="tensors"))
    write_request(request, tmp_path / "request.json")
    whole = spec.store.build(request).manifest
    assert spec.store.objects is not None
    spec.store.objects.remove([f"train/{request.key}/manifest.json"])

    rows = KILLED_AFTER * request.settings["train"].batch_size
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), url, str(tmp_path / "request.json")]
    env = {**os.environ, "SENTIMENT_CACHE": str(tmp_path / "a")}
    process = subprocess.run([*command, str(rows)], env=env, timeout=120)
    assert process.returncode == -signal.SIGKILL

    other = Store(tmp_path / "b", spec.store.objects)
    at = other.resumes_at(request)
    assert at is not None and 0 < at <= KILLED_AFTER
    listener = At(0, interrupt)
    resumed = other.build(request, progress=listener).manifest
    assert listener.seen[0] > at * request.settings["train"].batch_size
    assert [a.sha256 for a in resumed.outputs] == [a.sha256 for a in whole.outputs]
    assert mirrored(other) == []


def test_what_is_interrupted_sends_its_last_checkpoint(
    here: Store, there: Store, asked: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "EVERY", 600.0)  # by then it has ended
    assert there.resumes_at(asked) is None
    assert interrupted(here, asked, at=3) == [1, 2, 3]
    assert mirrored(here) == [step(3)]
    assert there.resumes_at(asked) == 3
    assert steps_of_build(there, asked) == [4, 5, 6]
    assert mirrored(here) == []
    assert not asked.checkpoints(there.root).exists()
    assert no_thread_is_left()


def test_only_the_newest_is_held_there_while_work_goes_on(here: Store, asked: Request) -> None:
    seen: list[list[str]] = []

    def look(done: int, total: int | None = None, **figures: float) -> None:
        wait_for(lambda: mirrored(here) == [step(done)])
        seen.append(mirrored(here))

    here.build(asked, progress=look)
    assert len(seen) == STEPS
    assert mirrored(here) == []
    assert no_thread_is_left()


def test_the_newer_one_counts_wherever_it_is(here: Store, there: Store, asked: Request) -> None:
    assert interrupted(here, asked, at=2) == [1, 2]
    assert interrupted(there, asked, at=4) == [3, 4]
    assert here.resumes_at(asked) == 4
    assert interrupted(here, asked, at=5) == [5]
    assert here.objects is not None
    here.objects.remove([listed.path for listed in here.objects.list("checkpoints")])
    assert there.resumes_at(asked) == 4
    assert steps_of_build(there, asked) == [5, 6]


def test_a_forced_request_resumes_only_what_a_forced_one_began(
    here: Store, there: Store, asked: Request
) -> None:
    assert interrupted(here, asked, at=3) == [1, 2, 3]
    assert there.resumes_at(asked, force=True) is None
    assert interrupted(there, asked, force=True, at=2) == [1, 2]
    assert sorted(mirrored(here)) == [step(2, "forced/"), step(3)]
    assert here.resumes_at(asked, force=True) == 2
    assert steps_of_build(here, asked, force=True) == [3, 4, 5, 6]
    assert mirrored(here) == []


def test_what_another_machine_has_finished_is_not_resumed_by_force(
    here: Store, there: Store, asked: Request
) -> None:
    assert interrupted(here, asked, force=True, at=3) == [1, 2, 3]
    assert steps_of_build(there, asked, force=True) == [4, 5, 6]
    assert asked.checkpoints(here.root).exists()
    assert here.resumes_at(asked, force=True) is None
    assert steps_of_build(here, asked, force=True) == [1, 2, 3, 4, 5, 6]


def test_a_damaged_one_is_passed_over(here: Store, there: Store, asked: Request) -> None:
    assert interrupted(here, asked, at=3) == [1, 2, 3]
    assert here.objects is not None
    folder = f"checkpoints/shout-{asked.key}"
    here.objects.put(f"{folder}/{step(5)}.{'a' * 16}.safetensors", b"5")
    here.objects.put(f"{folder}/notes.txt", b"9")
    assert steps_of_build(there, asked) == [4, 5, 6]


@pytest.fixture
def failing(
    s3: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Store, Faults]]:
    """A store behind a server that makes faults; its client repeats nothing."""
    monkeypatch.setitem(objects_module.RETRIES, "max_retries", 0)
    with faults(s3) as (address, made):
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        yield Store(tmp_path / "failing", Objects(url)), made


@pytest.mark.parametrize("fault", ["403", "503", "dead"])
def test_a_storage_that_fails_meanwhile_is_no_error_of_the_work(
    failing: tuple[Store, Faults],
    there: Store,
    asked: Request,
    fault: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, made = failing
    failed: list[int] = []

    def fail(number: int, method: str, path: str) -> str | None:
        if method != "PUT" or "checkpoints" not in path:
            return None
        failed.append(number)
        return fault

    def watch(done: int, total: int | None = None, **figures: float) -> None:
        if done == 2:
            wait_for(lambda: len(failed) > 2)
            assert mirrored(there) == []
            made.fault = lambda number, method, path: None
        if done == 4:
            wait_for(lambda: mirrored(there) == [step(4)])
            made.fault = fail

    made.fault = fail
    assert store.build(asked, progress=watch).computed
    warnings = [record for record in caplog.records if "on this machine only" in record.message]
    assert 1 <= len(warnings) <= 2
    assert no_thread_is_left()
    made.fault = lambda number, method, path: None
    assert mirrored(there) == []
    assert not there.build(asked).computed


def test_stopped_work_does_not_wait_for_a_storage_that_hangs(
    failing: tuple[Store, Faults], asked: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "PATIENCE", 0.1)
    store, made = failing
    done, released = threading.Event(), threading.Event()

    def hang(number: int, method: str, path: str) -> str | None:
        if method == "PUT" and "checkpoints" in path:
            done.set()
            released.wait(60)
            return "dead"
        return None

    made.fault = hang
    listener = At(2, lambda: done.wait(60) and interrupt())
    with pytest.raises(KeyboardInterrupt):
        store.build(asked, progress=listener)
    assert not released.is_set()
    released.set()
    wait_for(no_thread_is_left)


def test_a_stage_without_checkpoints_asks_for_none(
    failing: tuple[Store, Faults], asked: Request
) -> None:
    store, made = failing
    plain = replace(
        asked,
        stage=replace(asked.stage, function="tests.tasks.store.test_store:shout", resumable=False),
    )
    store.build(plain)
    assert store.resumes_at(plain) is None
    assert not [path for _, path in made.requests if "checkpoints" in path]
