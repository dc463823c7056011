"""Progress in small files, which reach the run from threads and processes alike."""

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from sentiment.errors import StorageError
from tasks.stage import Request
from tasks.store.atomic import write_atomically
from tasks.store.store import RUNS

INTERVAL = 0.25  # seconds between writes


def progress_path(root: Path, run: str, request: Request) -> Path:
    """Return the file in which a request's work reports its progress to a run."""
    return root / RUNS / run / "progress" / f"{request.stage.name}-{request.key}.json"


class ProgressFile:
    """A ``Progress`` that keeps its latest state in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written = 0.0

    def __call__(self, done: int, total: int | None = None, **figures: float) -> None:
        now = time.monotonic()
        if done != total and now - self._written < INTERVAL:
            return
        self._written = now
        with suppress(StorageError):  # the stage itself reports a full disk
            content = json.dumps({"done": done, "total": total, "figures": figures})
            write_atomically(self._path, content, durable=False)


@dataclass(frozen=True)
class Snapshot:
    """The progress of a stage: work done in all its tasks, and the latest metrics.

    ``share``, from 0 to 1, is how much of their input the tasks have read; None if unknown.
    """

    done: int = 0
    figures: dict[str, float] = field(default_factory=dict)
    total: int | None = None
    share: float | None = None


def snapshot(paths: Sequence[Path], sizes: Sequence[int] = ()) -> Snapshot:
    """Add up the progress files of a stage's tasks; a missing file counts as nothing done.

    ``sizes`` of the tasks' inputs weight their shares. The total is known once every task knows
    its own.
    """
    done = 0
    totals: list[int] = []
    figures: dict[str, float] = {}
    read: list[float] = []
    for path, size in zip(paths, sizes or [1] * len(paths), strict=True):
        try:
            content = json.loads(path.read_bytes())
        except (OSError, ValueError):
            continue
        done += content["done"]
        totals += [] if content["total"] is None else [content["total"]]
        figures |= content["figures"]
        if "share" in figures:
            read.append(figures.pop("share") * size)
    total = sum(totals) if len(totals) == len(paths) else None
    share = sum(read) / max(1, sum(sizes or [len(paths)])) if read else None
    return Snapshot(done, figures, total or None, share)
