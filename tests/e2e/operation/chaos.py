"""A project of its own that is disturbed at random: killed, edited, damaged, while it runs.

What is stored is compared with undisturbed runs of the same code on the same reviews, each in a
storage folder of its own.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil

from flows.steps import STAGE_NAMES
from sentiment.errors import ModelError, StorageError
from sentiment.files import digest_file
from sentiment.model.bundle import Bundle
from sentiment.model.registry import CHAMPION, model_in_use
from tasks.store import Store
from tests.support.reviews import good_lines
from tests.support.runs import TINY
from tests.support.servers import ROOT, TIMEOUT, command, run_sentiment

# Their keys depend on nothing but code, reviews and settings; from promote on, on the champion too.
COMPARED = STAGE_NAMES[: STAGE_NAMES.index("promote")]
SETTINGS = (*TINY, "train.epochs=8", "train.checkpoint_every=3")
MARK = "SENTIMENT_CHAOS"  # in the environment of all processes of a round
ENDS_WITHIN = 15  # seconds after a signal; 10 after kill -9
TRAIN, TEST = "train.ft.txt", "test.ft.txt"
# Of other lengths than what they replace: Python takes bytecode for current if its source has the
# size and the second that it was compiled from.
EDITS = {
    "sentiment/text/cleaning.py": ("text.lower()", "text.casefold().upper()"),
    "sentiment/model/batches.py": ("[seed, epoch]", "[seed, epoch, 1]"),
}
Results = dict[str, dict[str, str]]  # of each result, "<stage>/<key>": its files' sha256


class Chaos:
    """Code, reviews and a storage folder to disturb, and what came of it so far.

    Raises AssertionError when a promise is broken.
    """

    def __init__(self, folder: Path, server: dict[str, str], seed: int) -> None:
        self.folder, self.random, self.tally = folder, random.Random(seed), Counter[str]()
        self._server = server
        self._truths: dict[str, tuple[Results, float]] = {}
        self.code, self.data = folder / "code", folder / "data"
        self.storage = folder / "storage"
        for package in ("sentiment", "tasks", "flows", "presets"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / package, self.code / package, ignore=ignored)
        self.sources = {name: (self.code / name).read_text() for name in EDITS}
        self.data.mkdir()
        self.reviews = [b"".join(line + b"\n" for line in good_lines(300, n)) for n in (500, 5000)]
        self.reviews = [text[: min(map(len, self.reviews))] for text in self.reviews]
        self.reviews = [text[: text.rindex(b"\n") + 1] for text in self.reviews]
        (self.data / TRAIN).write_bytes(self.reviews[0])
        (self.data / TEST).write_bytes(b"".join(line + b"\n" for line in good_lines(60)))
        self.truth()

    # What the outcome should be

    def truth(self) -> tuple[Results, float]:
        """Return the results and the accuracy of an undisturbed run of this code and reviews."""
        state = json.dumps([(self.code / name).read_text() for name in EDITS])
        state += digest_file(self.data / TRAIN)
        if state not in self._truths:
            clean = self.folder / f"clean-{len(self._truths)}"
            done = run_sentiment(*self._arguments(), code=self.code, **self._env(clean))
            assert done.returncode == 0, done.stderr
            accuracy = json.loads(done.stdout)["accuracy"]
            self._truths[state] = results_of(clean, newest_run(clean)), accuracy
        return self._truths[state]

    def _arguments(self, *more: str) -> list[str]:
        runner = self.random.choice(("threads", "processes"))
        settings = [*SETTINGS, f"run.runner={runner}", "run.workers=2"]
        options = [option for setting in settings for option in ("--set", setting)]
        return ["run", *options, "--data", str(self.data), "--json", *more]

    def _env(self, storage: Path, mark: str = "") -> dict[str, str]:
        # Some runs start a server of their own, which is then part of what is killed.
        server = self._server if self.random.random() < 0.8 else {}
        return {**server, "SENTIMENT_STORAGE": str(storage), MARK: mark}

    # One round

    def round(self) -> str:
        """Disturb a run and return how it ended; then run to the end and compare what it stored."""
        self.lose_results()
        mark = uuid4().hex
        disturb = self.random.choice(DISTURBANCES)
        with self._running(mark) as run:
            self._wait_for_a_moment(run)
            disturb(self, run)
            outcome = self._end_of(run, disturb)
        self.tally[f"{disturb.__name__.replace('_', ' ')}: {outcome}"] += 1
        wait_until_gone(mark)
        self._recover()
        return outcome

    @contextmanager
    def _running(self, mark: str) -> Iterator["Run"]:
        process = subprocess.Popen(
            command(*self._arguments(), code=self.code),
            cwd=self.code, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "COLUMNS": "80", **self._env(self.storage, mark)},
            start_new_session=True,
        )  # fmt: skip
        run = Run(process)
        try:
            yield run
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            run.reader.join()

    def _wait_for_a_moment(self, run: "Run") -> None:
        """Wait for a random time, or until a random stage begins and a little longer."""
        if self.random.random() < 0.3:
            run.wait(self.random.uniform(0, 6))
        else:
            run.wait_for(self.random.choice(COMPARED[:6]))
            run.wait(self.random.uniform(0, 0.5))

    def _end_of(self, run: "Run", disturb: "Disturbance") -> str:
        """Wait for the end of a run; return how it ended."""
        stopped = disturb in (kill_the_driver, kill_the_group, SIGTERM, SIGINT)
        run.process.wait(ENDS_WITHIN if stopped else TIMEOUT)
        run.reader.join()
        code, said = run.process.returncode, "".join(run.lines)
        assert "Traceback" not in said, said
        if code == 0:
            return "completed"
        if code == -signal.SIGKILL:
            return "killed"
        last = " ".join(said.split())
        if stopped:
            assert code in (130, 143), said
            return "stopped"
        assert code == 1 and "Error: " in last, f"{code}: {said}"
        return "a clear error"

    def _recover(self) -> None:
        """Run to the end undisturbed; what is stored then is the truth."""
        for _ in range(3):
            arguments = self._arguments("--verify")
            done = run_sentiment(*arguments, code=self.code, **self._env(self.storage))
            assert "Traceback" not in done.stderr, done.stderr
            if done.returncode == 0:
                break
            # The only file that no run can make again is the register of champions.
            assert "champion.json: cannot be read" in done.stderr, done.stderr
            (self.storage / CHAMPION).unlink()
            self.tally["register damaged, said so: removed by hand"] += 1
        assert done.returncode == 0, done.stderr
        expected, accuracy = self.truth()
        stored = results_of(self.storage, newest_run(self.storage))
        assert stored == expected
        assert json.loads(done.stdout)["accuracy"] == accuracy
        try:
            Bundle.load(model_in_use(self.storage))
        except (ModelError, StorageError) as error:
            # A champion of other reviews or code, which this run does not make again.
            self.tally[f"champion damaged, said so: {type(error).__name__}"] += 1
            (self.storage / CHAMPION).unlink()

    def lose_results(self) -> None:
        """Remove what some stage and all after it stored, so that there is work to do."""
        first = self.random.randrange(len(COMPARED))
        for stage in COMPARED[first:]:
            shutil.rmtree(self.storage / stage, ignore_errors=True)

    def some_file(self) -> Path | None:
        """Return a file of the storage folder with something in it, unless it is unfinished."""
        files = [
            path
            for path in sorted(self.storage.rglob("*"))
            if path.is_file()
            and not path.is_symlink()
            and not any(part.startswith(".") for part in path.relative_to(self.storage).parts)
            and path.parent.name != "locks"
        ]
        with suppress(IndexError, FileNotFoundError):
            path = self.random.choice(files)
            return path if path.stat().st_size else None
        return None


class Run:
    """A run in a process group of its own, and what it has said so far on standard error."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process, self.lines = process, list[str]()
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stderr
        with self.process.stderr as stream:
            self.lines.extend(iter(stream.readline, ""))

    def wait(self, seconds: float) -> None:
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)

    def wait_for(self, stage: str) -> None:
        """Wait until a stage begins, or the run ends."""
        begins = f"{stage} "
        while self.process.poll() is None:
            if any(line.startswith(begins) and "to run" in line for line in [*self.lines]):
                return
            time.sleep(0.01)

    def wait_for_words(self) -> None:
        """Wait until the run has said something: before, Python itself answers to signals."""
        while not self.lines and self.process.poll() is None:
            time.sleep(0.01)

    def signal(self, number: signal.Signals, *, group: bool) -> None:
        with suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(self.process.pid, number)


# Disturbances of a run at work

Disturbance = Callable[[Chaos, Run], None]


def kill_the_driver(_chaos: Chaos, run: Run) -> None:
    run.signal(signal.SIGKILL, group=False)


def kill_the_group(_chaos: Chaos, run: Run) -> None:
    run.signal(signal.SIGKILL, group=True)


def SIGTERM(_chaos: Chaos, run: Run) -> None:
    run.wait_for_words()
    run.signal(signal.SIGTERM, group=True)


def SIGINT(_chaos: Chaos, run: Run) -> None:
    run.wait_for_words()
    run.signal(signal.SIGINT, group=True)


def edit_the_code(chaos: Chaos, run: Run) -> None:
    """Change a stage's code, and perhaps back again."""
    name = chaos.random.choice(list(EDITS))
    path, (old, new) = chaos.code / name, EDITS[name]
    before = path.read_text()
    after = before.replace(new, old) if new in before else before.replace(old, new)
    assert after != before
    path.write_text(after)
    if chaos.random.random() < 0.5:
        run.wait(chaos.random.uniform(0, 3))
        path.write_text(before)


def edit_the_reviews(chaos: Chaos, run: Run) -> None:
    """Rewrite the training reviews in place, to the same size, and perhaps back again."""
    path = chaos.data / TRAIN
    before = path.read_bytes()
    (after,) = (text for text in chaos.reviews if text != before)
    times = path.stat()
    with path.open("r+b") as file:
        file.write(after)
        file.truncate()
    if chaos.random.random() < 0.3:
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    if chaos.random.random() < 0.5:
        run.wait(chaos.random.uniform(0, 3))
        path.write_bytes(before)


def flip_a_bit(chaos: Chaos, _run: Run) -> None:
    """Flip one bit of what is stored; half of the time keep its time."""
    with suppress(FileNotFoundError):  # it has just been replaced
        if path := chaos.some_file():
            times = path.stat()
            with path.open("r+b") as file:
                at = chaos.random.randrange(times.st_size)
                file.seek(at)
                (byte,) = file.read(1)
                file.seek(at)
                file.write(bytes([byte ^ 1 << chaos.random.randrange(8)]))
            if chaos.random.random() < 0.5:
                os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def cut_a_file(chaos: Chaos, _run: Run) -> None:
    with suppress(FileNotFoundError):
        if path := chaos.some_file():
            os.truncate(path, chaos.random.randrange(path.stat().st_size))


def swap_two_results(chaos: Chaos, _run: Run) -> None:
    """Copy one shard's stored result over another's."""
    shards = sorted((chaos.storage / "tokenize").glob("[!.]*"))
    if len(shards) > 1:
        one, other = chaos.random.sample(shards, 2)
        with suppress(OSError, shutil.Error):
            shutil.copytree(one, other, dirs_exist_ok=True)


def remove_a_file(chaos: Chaos, _run: Run) -> None:
    if path := chaos.some_file():
        path.unlink(missing_ok=True)


def collect_garbage(chaos: Chaos, _run: Run) -> None:
    done = run_sentiment(
        "gc", "--keep-runs", "1", code=chaos.code, SENTIMENT_STORAGE=str(chaos.storage)
    )
    assert "Traceback" not in done.stderr, done.stderr


def end_its_server(_chaos: Chaos, run: Run) -> None:
    """Kill the run's own Prefect server, if it has one."""
    with suppress(psutil.Error):
        for child in psutil.Process(run.process.pid).children(recursive=True):
            if "ephemeral.py" in " ".join(child.cmdline()):
                child.kill()


DISTURBANCES: tuple[Disturbance, ...] = (
    kill_the_driver, kill_the_group, SIGTERM, SIGINT, edit_the_code, edit_the_reviews, flip_a_bit,
    cut_a_file, swap_two_results, remove_a_file, collect_garbage, end_its_server,
)  # fmt: skip


# What is stored


def newest_run(storage: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(max(storage.glob("runs/*/run.json")).read_bytes())
    return record


def results_of(storage: Path, run: dict[str, Any]) -> Results:
    """Return the sha256 of every file of the results that a run used, read from the files."""
    store = Store(storage)
    return {
        f"{stage}/{key}": {
            artifact.name: digest_file(storage / artifact.path)
            for artifact in store.read(stage, key).outputs
        }
        for stage in COMPARED
        for key in run["stages"][stage]["results"].values()
    }


def wait_until_gone(mark: str) -> None:
    """Wait until no process of a round is left; AssertionError after 10 seconds."""
    deadline = time.monotonic() + 10
    while left := marked(mark):
        assert time.monotonic() < deadline, [" ".join(process.cmdline()) for process in left]
        time.sleep(0.1)


def marked(mark: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
