"""Records of runs: which results each used. For explanations and ``gc``."""

import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import BaseModel

from sentiment.errors import StorageError
from sentiment.files import parse_json
from tasks.manifest import Manifest
from tasks.store.atomic import writing_to
from tasks.store.objects import Seen
from tasks.store.store import LOCKS, RUNS, Store

LOCK = "run.lock"
RUNS_LOCK = "runs.lock"
MOST_EARLIER = 20  # results that a stage is compared with
ALIVE_EVERY = 600.0  # seconds after which a run writes its record again, in remote storage
ALIVE_FOR = 3600.0  # seconds that it counts as active without that


class _Stage(BaseModel):
    results: dict[str, str]
    earlier: list[str] = []


class _Record(BaseModel):
    """What others read of a record."""

    run: str
    state: str
    preset: str | None = None
    data: str | None = None
    stages: dict[str, _Stage]


class RunRecord:
    """The record of a run, ``<root>/runs/<run id>/run.json``, kept up to date while it is active.

    The run holds a lock beside it, which the system frees if the run is killed. In remote storage
    the record is written again and again instead, and its time says that the run is active. Where
    the store is not writable there is no record, so its owner's ``gc`` does not see the run.
    """

    def __init__(self, store: Store, run_id: str, **about: Any) -> None:
        self.run_id = run_id
        self._store = store
        self._path = store.root / RUNS / run_id / "run.json"
        self._content: dict[str, Any] = {
            "run": run_id,
            "state": "running",
            "pid": os.getpid(),
            "started": _now(),
            **about,
            "computed": False,
            "stages": {},
        }
        self._lock = FileLock(self._path.with_name(LOCK), thread_local=False)
        self._ended = threading.Event()
        self._writing = threading.Lock()
        if not store.writable:
            return
        with record_lock(store):  # gc must not find the folder before the lock in it is held
            with writing_to(self._path):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._lock.acquire()
            self._write()
        if store.objects is not None:
            threading.Thread(target=self._stay_alive, daemon=True).start()

    def stage(self, name: str, results: Mapping[str, str], **about: Any) -> None:
        """Note the results (keys by label) that a stage is about to use or compute.

        Results noted before, such as those of a study's other trials, are kept as ``earlier``. A
        ``state`` of ``completed`` says that the run computed some of them.
        """
        noted = self._content["stages"].get(name, {"results": {}, "earlier": []})
        before = {*noted["earlier"], *noted["results"].values()} - {*results.values()}
        entry = {**about, "results": dict(results), "earlier": sorted(before)}
        self._content["stages"][name] = entry
        self._content["computed"] |= about.get("state") == "completed"
        with record_lock(self._store):
            self._write()

    def finish(self, state: str) -> None:
        """Note how the run ended, and release its results."""
        self._ended.set()
        self._content |= {"state": state, "finished": _now()}
        try:
            self._write()
        finally:
            self._lock.release()

    def fail(self, error: BaseException) -> None:
        """Note that the run failed, or was stopped: by Ctrl-C, SIGTERM or in the UI."""
        self.finish("failed" if isinstance(error, Exception) else "cancelled")

    def _write(self) -> None:
        if self._store.writable:
            with self._writing:
                path = f"{RUNS}/{self.run_id}/run.json"
                self._store.put(path, json.dumps(self._content, indent=1))

    def _stay_alive(self) -> None:
        while not self._ended.wait(ALIVE_EVERY):
            with suppress(StorageError, RuntimeError):  # the run itself tells; it writes it now
                self._write()


def is_active(store: Store, run: Mapping[str, Any]) -> bool:
    """Return whether a run is still active; a killed one is not."""
    return run["state"] == "running" and is_held(store.root / RUNS / run["run"] / LOCK)


def is_held(lock: Path) -> bool:
    """Return whether a process holds a lock."""
    if not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True


def read_runs(store: Store) -> Iterator[dict[str, Any]]:
    """Yield the records of all runs, newest first; unreadable ones are skipped."""
    return (run for run in map(_parse, store.newest(RUNS, "run.json")) if run is not None)


def read_run(store: Store, run_id: str) -> dict[str, Any] | None:
    """Return the record of a run; None if there is none that can be read."""
    try:
        seen = store.get(f"{RUNS}/{run_id}/run.json")
    except OSError:
        return None
    return seen and _parse(seen)


def _parse(seen: Seen) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = parse_json(seen.content)
        _Record.model_validate(content, strict=True)
    except ValueError:
        return None
    return content


@contextmanager
def record_lock(store: Store) -> Iterator[None]:
    """Hold the lock under which a run notes what it uses, and ``gc`` removes the rest."""
    if not store.writable:
        yield
        return
    path = store.root / LOCKS / RUNS_LOCK
    lock = FileLock(path)
    with writing_to(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@dataclass(frozen=True)
class Earlier:
    """What an earlier run had of a stage: the manifests, by label.

    ``strange`` counts what else tells the two runs apart: the preset, the data folder.
    """

    manifests: Mapping[str, Manifest]
    strange: int


def earlier_results(
    store: Store, stage: str, about: Mapping[str, Any], *, before: str | None = None
) -> list[Earlier]:
    """Return what the runs before ``before`` had of a stage, newest first, without repetitions.

    ``about`` says what this run is about, as in its record. At most ``MOST_EARLIER`` are returned.
    """
    found: dict[tuple[tuple[str, str], ...], Earlier] = {}
    for run in read_runs(store):
        results = run["stages"].get(stage, {}).get("results", {})
        strange = sum(run.get(name) != value for name, value in about.items())
        same = tuple(sorted(results.items()))
        if before is not None and run["run"] >= before:
            continue
        if same in found:
            if strange < found[same].strange:
                found[same] = replace(found[same], strange=strange)
            continue
        if len(found) == MOST_EARLIER:
            break
        known = store.read_all(stage, set(results.values()))
        manifests = {label: known[key] for label, key in results.items() if key in known}
        if manifests:
            found[same] = Earlier(manifests, strange)
    return list(found.values())


def new_run_id() -> str:
    """Return an id that sorts by time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{os.getpid()}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
