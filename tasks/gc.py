"""Remove results that no recent run and no model in use needs."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tasks.registry.champion import read_registry
from tasks.stage import CHECKPOINTS
from tasks.store.run_records import is_active, is_held, read_runs, record_lock
from tasks.store.store import DISCARDED, FAILED, LOCKS, RUNS, Store

RECORDS = "prefect"
MODELS = "models"
STUDIES = "tune"


@dataclass(frozen=True)
class Freed:
    """Something removed, or to be removed: its path under the root, and its size in bytes."""

    path: str
    size: int


def collect(store: Store, *, keep_runs: int, dry_run: bool) -> list[Freed]:
    """Remove what only runs before the last ``keep_runs`` completed ones used; return what.

    Results of active runs are kept, as are the models that links under ``models/`` point to, the
    champion and the one before it. Prefect's records, locks and run records of what is removed are
    removed with it.
    """
    with record_lock(store):  # no run can start to use a result meanwhile
        kept_runs, kept = _in_use(store, keep_runs)
        freed = []
        for path in _garbage(store, kept_runs, kept):
            freed.append(Freed(path.relative_to(store.root).as_posix(), _size(path)))
            if not dry_run:
                _remove(path)
    return freed


def _in_use(store: Store, keep_runs: int) -> tuple[set[str], set[tuple[str, str]]]:
    """Return the ids of the runs to keep, and every (stage, key) in use by them or as a model."""
    runs: set[str] = set()
    results: set[tuple[str, str]] = set()
    completed = 0
    for run in read_runs(store):
        if completed >= keep_runs and not is_active(store, run):
            continue
        # A study whose trials were all known has used nothing.
        completed += run["state"] == "completed" and bool(run["stages"])
        runs.add(run["run"])
        for stage, entry in run["stages"].items():
            keys = {*entry["results"].values(), *entry.get("earlier", ())}
            results |= {(stage, key) for key in keys}
    return runs, results | set(_models(store))


def _models(store: Store) -> Iterator[tuple[str, str]]:
    """Yield the models that links point to, the champion, and the target of a rollback."""
    for path in (store.root / MODELS).glob("*"):
        if path.is_symlink() and not path.name.startswith("."):  # those a kill left half-way
            target = path.resolve()
            yield target.parent.name, target.name
    for entry in read_registry(store).line()[-2:]:
        stage, _, key = entry.model.partition("/")
        yield stage, key


def _garbage(store: Store, runs: set[str], results: set[tuple[str, str]]) -> Iterator[Path]:
    root = store.root
    for stage in sorted(p for p in root.glob("*") if p.is_dir() and p.name not in _OTHER):
        for folder in sorted(stage.iterdir()):
            if folder.name.startswith("."):
                key, _, kind = folder.name.lstrip(".").partition("-")
                if kind == DISCARDED and (stage.name, key) in results:
                    continue  # a killed rebuild left it: the next one puts it back
                if not is_held(root / LOCKS / f"{stage.name}-{key}.lock"):  # in use by a run
                    yield folder
            elif (stage.name, folder.name) not in results:
                yield folder
                record = root / RECORDS / f"{stage.name}-{folder.name}"
                lock = root / LOCKS / f"{stage.name}-{folder.name}.lock"
                yield from (path for path in (record, lock) if path.exists())
    yield from sorted(p for p in (root / RUNS).glob("*") if p.name not in runs)
    names = {f"{stage}-{key}" for stage, key in results}
    yield from sorted(p for p in (root / CHECKPOINTS).glob("*") if p.name not in names)
    yield from sorted(p for p in (root / FAILED).glob("*") if p.name not in names)


_OTHER = {LOCKS, FAILED, RUNS, RECORDS, MODELS, CHECKPOINTS, STUDIES}


def _size(path: Path) -> int:
    if path.is_dir() and not path.is_symlink():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.lstat().st_size


def _remove(path: Path) -> None:
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    # Renamed first: a reader finds a result complete or not at all.
    removed = path.with_name(f".{path.name}-removed")
    path.rename(removed)
    shutil.rmtree(removed)
