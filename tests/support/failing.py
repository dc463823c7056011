"""A stage's function that fails as often as it is told."""

from pathlib import Path
from typing import Any

failures: list[Exception] = []
calls = 0


def work(out: Path, progress: Any) -> dict[str, Any]:
    global calls
    calls += 1
    if calls <= len(failures):
        raise failures[calls - 1]
    (out / "file").write_text("done")
    return {"calls": calls}
