"""Remove results that no recent run and no model in use needs."""

import re
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from tasks.registry.champion import read_registries
from tasks.stage import CHECKPOINTS, KEY_LENGTH, REQUESTS
from tasks.store.run_records import (
    LOCK,
    is_active,
    is_held,
    new_run_id,
    read_runs,
    record_lock,
)
from tasks.store.store import DISCARDED, FAILED, LOCKS, RUNS, Store

RECORDS = "prefect"
MODELS = "models"
STUDIES = "tune"
KEY = rf"[0-9a-f]{{{KEY_LENGTH}}}"
RUN_ID = r"\d{8}T\d{6}\.\d{6}-\d+"


@dataclass(frozen=True)
class Freed:
    """Something removed, or to be removed: its path under the root, and its size in bytes."""

    path: str
    size: int


def collect(store: Store, stages: Collection[str], *, keep_runs: int, dry_run: bool) -> list[Freed]:
    """Remove what only runs before the last ``keep_runs`` that count used; return what.

    A run counts if it completed and computed something: reruns that find everything cached, however
    many, push no older result out.

    Only results of these ``stages`` and other things that the store itself made are removed, so a
    storage folder may hold other files. Results of active runs are kept, as are the models that
    links under ``models/`` point to, each champion and the one before it. Prefect's records, locks
    and run records of what is removed are removed with it. Raises StorageError unless the folder is
    a store.
    """
    store.check()
    with record_lock(store):  # no run can start to use a result meanwhile
        kept_runs, kept = _in_use(store, keep_runs)
        freed = []
        for path in _garbage(store, stages, kept_runs, kept):
            freed.append(Freed(path.relative_to(store.root).as_posix(), _size(path)))
            if not dry_run:
                _remove(path)
    return freed


def _in_use(store: Store, keep_runs: int) -> tuple[set[str], set[tuple[str, str]]]:
    """Return the ids of the runs to keep, and every (stage, key) in use by them or as a model."""
    runs: set[str] = set()
    results: set[tuple[str, str]] = set()
    completed, now = 0, new_run_id()
    for run in read_runs(store):
        if completed >= keep_runs and not is_active(store, run):
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
    for path in (store.root / MODELS).glob("*"):
        if path.is_symlink() and not path.name.startswith("."):  # those a kill left half-way
            target = path.resolve()
            yield target.parent.name, target.name
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
    path.rename(removed)  # which does nothing where it is hidden already
    shutil.rmtree(removed)
