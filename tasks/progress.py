"""Progress of tasks as small files, so that it reaches the run from threads and processes alike."""

import json
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from sentiment.errors import StorageError
from tasks.files import write_atomically

INTERVAL = 0.25  # seconds between writes


class ProgressFile:
    """A ``Progress`` that keeps the latest state in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written = 0.0

    def __call__(self, done: int, total: int | None = None, **figures: float) -> None:
        now = time.monotonic()
        if done != total and now - self._written < INTERVAL:
            return
        self._written = now
        with suppress(StorageError):  # a full disk is the stage's own business to report
            content = json.dumps({"done": done, "total": total, "figures": figures})
            write_atomically(self._path, content)


@dataclass(frozen=True)
class Snapshot:
    """How far a stage is: work done in all its tasks, and the latest figures."""

    done: int = 0
    figures: dict[str, float] = field(default_factory=dict)
    total: int | None = None


def snapshot(paths: Iterable[Path]) -> Snapshot:
    """Add up the progress files of a stage's tasks; those not yet written count as nothing done."""
    done = total = 0
    figures: dict[str, float] = {}
    for path in paths:
        try:
            content = json.loads(path.read_bytes())
        except (OSError, ValueError):
            continue
        done += content["done"]
        total += content["total"] or 0
        figures |= content["figures"]
    return Snapshot(done, figures, total or None)
