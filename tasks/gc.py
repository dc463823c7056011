"""Remove results that no recent run and no model in use needs, or those in a cache."""

import re
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from sentiment.errors import ConfigError, StorageError
from tasks.manifest import INPUTS, SHORT
from tasks.registry.champion import MODELS, read_registries
from tasks.stage import CHECKPOINTS, KEY_LENGTH, REQUESTS
from tasks.store.objects import Objects
from tasks.store.remote import MANIFEST, at_once
from tasks.store.run_records import (
    ALIVE_FOR,
    LOCK,
    RUNS_LOCK,
    is_active,
    is_held,
    new_run_id,
    read_runs,
    record_lock,
)
from tasks.store.store import DISCARDED, FAILED, LOCKS, RUNS, Store
from tasks.store.sweep import old_objects, remove_old

RECORDS = "prefect"
STUDIES = "tune"
GRACE = timedelta(days=1)
KEY = rf"[0-9a-f]{{{KEY_LENGTH}}}"
COPIED = rf"[0-9a-f]{{{SHORT}}}"
RUN_ID = r"\d{8}T\d{6}\.\d{6}-\d+"


@dataclass(frozen=True)
class Freed:
    """Something removed, or to be removed: its path under the root, and its size in bytes."""

    path: str
    size: int


def collect(
    store: Store,
    stages: Collection[str],
    *,
    keep_runs: int,
    dry_run: bool,
    grace: timedelta = GRACE,
) -> list[Freed]:
    """Remove what only runs before the last ``keep_runs`` that count used; return what.

    A run counts if it completed and computed something: reruns that find everything cached, however
    many, push no older result out.

    Only results of these ``stages`` and other things that the store itself made are removed, so a
    storage folder may hold other files. Results of active runs are kept, as are the models that
    links under ``models/`` point to, each champion and the one before it. Prefect's records, locks
    and run records of what is removed are removed with it. Remote storage has no locks: objects
    newer than ``grace`` stay there too. Raises StorageError unless the place is a store.
    """
    store.check()
    if store.objects is not None:
        return _collect_objects(store, store.objects, stages, keep_runs, dry_run, grace)
    with record_lock(store):  # no run can start to use a result meanwhile
        kept_runs, kept = _in_use(store, keep_runs, partial(is_active, store))
        return _free(store, _garbage(store, stages, kept_runs, kept), dry_run)


def empty_cache(store: Store, stages: Collection[str], *, dry_run: bool) -> list[Freed]:
    """Remove this machine's cache of remote storage; return what was removed.

    Results of these ``stages`` and copies of review files go, since they can be fetched again. What
    is here alone stays: results that are not published yet, checkpoints, studies, attachments
    of failed runs. Raises ConfigError for a folder, and StorageError while anything is at work
    here: a lock says what is being computed, not what is read for it.
    """
    if store.objects is None:
        raise ConfigError(
            f"{store.place()}: a folder has no cache, it is where the results are. Leave out "
            "--cache to remove what nothing needs, or name remote storage with --storage."
        )
    store.check()
    with record_lock(store):
        if at_work := _at_work(store.root):
            raise StorageError(
                f"{store.root}: {at_work[0]} is at work here, so nothing was removed. Run this "
                "again when it has ended."
            )
        return _free(store, _cached(store, stages), dry_run)


def _free(store: Store, paths: Iterator[Path], dry_run: bool) -> list[Freed]:
    freed = []
    for path in paths:
        freed.append(Freed(path.relative_to(store.root).as_posix(), _size(path)))
        if not dry_run:
            _remove(path)
    return freed


def _at_work(root: Path) -> list[str]:
    """Return what holds a lock in a folder: results that are being made, and runs."""
    results = [path for path in sorted((root / LOCKS).glob("*.lock")) if path.name != RUNS_LOCK]
    runs = sorted((root / RUNS).glob(f"*/{LOCK}"))
    held = [path for path in (*results, *runs) if is_held(path)]
    return [path.parent.name if path.name == LOCK else path.stem for path in held]


def _cached(store: Store, stages: Collection[str]) -> Iterator[Path]:
    """Yield the results and copies in a cache, but what was computed here and is here alone."""
    for stage in sorted(stages):
        found = [*_named(store.root / stage, KEY)]
        whole = [(p, key) for p, key, kind in found if kind in ("", DISCARDED)]
        computed = {key for path, key in whole if (path / MANIFEST).exists()}
        alone = computed - store.read_all(stage, sorted(computed)).keys()
        yield from (path for path, key, _ in found if key not in alone)
    yield from (path for path, _, _ in _named(store.root / INPUTS, COPIED))


def _collect_objects(
    store: Store,
    objects: Objects,
    stages: Collection[str],
    keep_runs: int,
    dry_run: bool,
    grace: timedelta,
) -> list[Freed]:
    now = objects.probe()  # by the storage's clock, which dates its objects
    listed = [*objects.list()]
    written = {entry.path: entry.when for entry in listed}
    alive = now - timedelta(seconds=ALIVE_FOR)

    def active(run: Mapping[str, Any]) -> bool:
        stamped = written.get(f"{RUNS}/{run['run']}/run.json", now)  # now: begun since
        return run["state"] == "running" and stamped > alive

    kept_runs, kept = _in_use(store, keep_runs, active)
    forms = {"results": rf"(?:{'|'.join(sorted(stages))})/{KEY}", "runs": RUN_ID}
    before = now - grace
    old = old_objects(objects, listed, **forms, used=kept, kept_runs=kept_runs, before=before)
    if not dry_run:
        for _ in at_once(lambda each: remove_old(objects, each, before), old):
            pass
    return [Freed(each.path, sum(member.size for member in each.objects)) for each in old]


def _in_use(
    store: Store, keep_runs: int, active: Callable[[Mapping[str, Any]], bool]
) -> tuple[set[str], set[tuple[str, str]]]:
    """Return the ids of the runs to keep, and every (stage, key) in use by them or as a model."""
    runs: set[str] = set()
    results: set[tuple[str, str]] = set()
    completed, now = 0, new_run_id()
    for run in read_runs(store):
        if completed >= keep_runs and not active(run):
            continue
        used = {
            (stage, key)
            for stage, entry in run["stages"].items()
            for key in (*entry["results"].values(), *entry.get("earlier", ()))
        }
        # A run that computed or used nothing new does not push out older results, nor does one that
        # a wrong clock has dated in the future.
        new = run.get("computed", True) and not used <= results
        completed += run["state"] == "completed" and new and run["run"] < now
        runs.add(run["run"])
        results |= used
    return runs, results | set(_models(store))


def _models(store: Store) -> Iterator[tuple[str, str]]:
    """Yield the models that links point to, the champions, and the targets of a rollback."""
    for name in store.names(MODELS):
        if not name.endswith(".json") and not name.startswith("."):  # those a kill left half-way
            stage, _, key = (store.target(f"{MODELS}/{name}") or "").partition("/")
            yield stage, key
    for registry in read_registries(store):
        for entry in registry.line()[-2:]:
            stage, _, key = entry.model.partition("/")
            yield stage, key


def _garbage(
    store: Store, stages: Collection[str], runs: set[str], results: set[tuple[str, str]]
) -> Iterator[Path]:
    root = store.root
    for stage in sorted(stages):
        for folder, key, kind in _named(root / stage, KEY):
            lock = root / LOCKS / f"{stage}-{key}.lock"
            if kind == DISCARDED and (stage, key) in results:
                continue  # a killed rebuild left it: the next one puts it back
            if kind and not is_held(lock):  # unfinished work that no run is at
                yield folder
            elif not kind and (stage, key) not in results:
                yield folder
                record = root / RECORDS / f"{stage}-{key}"
                yield from (path for path in (record, lock) if path.exists())
    for path, run, _ in _named(root / RUNS, RUN_ID):
        if run not in runs and not is_held(path / LOCK):  # of a run that has just started
            yield path
    used = {f"{stage}-{key}" for stage, key in results}
    work = rf"(?:{'|'.join(stages)})-{KEY}"
    for kind in (CHECKPOINTS, FAILED):
        yield from (path for path, name, _ in _named(root / kind, work) if name not in used)
    for path in sorted((root / REQUESTS).glob("*.json")):
        name = path.stem
        busy = name in used or is_held(root / LOCKS / f"{name}.lock")
        if re.fullmatch(work, name) and path.is_file() and not busy:
            yield path
    oldest = time.time() - GRACE.total_seconds()
    copies = [path for path, _, _ in _named(root / INPUTS, COPIED) if path.stat().st_ctime < oldest]
    if copies and not _at_work(root):  # they can be fetched again, if nothing reads them now
        yield from copies


def _named(folder: Path, name: str) -> Iterator[tuple[Path, str, str]]:
    """Yield path, name and kind of the folders ``<name>`` (no kind) and ``.<name>-<kind>``."""
    form = re.compile(rf"({name})|\.({name})-(\w+)")
    for path in sorted(folder.glob("*")):
        match = form.fullmatch(path.name)
        if match and path.is_dir() and not path.is_symlink():
            yield path, match[1] or match[2], match[3] or ""


def _size(path: Path) -> int:
    if path.is_dir() and not path.is_symlink():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.lstat().st_size


def _remove(path: Path) -> None:
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    # Renamed first: a reader finds a result complete or not at all.
    removed = path if path.name.startswith(".") else path.with_name(f".{path.name}-removed")
    if removed != path:
        shutil.rmtree(removed, ignore_errors=True)  # left by a killed one
        path.rename(removed)
    shutil.rmtree(removed)
