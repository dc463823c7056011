"""Progress bars of the long stages, as artifacts in the Prefect UI."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.settings import get_current_settings

from flows.ui.artifacts import attempt
from flows.ui.reporters import Running, part_done, progress_text, watch
from tasks.run.progress import Snapshot, snapshot

UPDATE_EVERY = 3.0  # seconds


class ProgressArtifact:
    """A reporter that updates a progress bar."""

    def __init__(self, running: Running) -> None:
        self._id: UUID | None = None
        with attempt("a progress artifact"):
            created = create_progress_artifact(
                0.0, key=f"progress-{running.stage.replace(' ', '-')}", description="started"
            )
            self._id = cast(UUID, created)  # a coroutine in asynchronous flows only

    def note(self, line: str) -> None:
        """Ignored: a progress bar shows no log lines."""

    def progress(self, running: Running, state: Snapshot) -> None:
        self._move(100 * (part_done(running, state) or 0.0), running, state)

    def finish(self, running: Running) -> None:
        self._move(100.0, running, snapshot(running.files, running.sizes))

    def interval(self) -> float:
        return UPDATE_EVERY

    def close(self) -> None:
        """Nothing to close."""

    def _move(self, percent: float, running: Running, state: Snapshot) -> None:
        if self._id is not None:
            with attempt("an update of a progress artifact"):
                update_progress_artifact(self._id, percent, progress_text(running, state))


@contextmanager
def progress_artifact(running: Running, *, wanted: bool) -> Iterator[None]:
    """Show the progress of a stage, where ``wanted``, in the Prefect UI until the block ends.

    Does nothing where no server is named: it would have no UI to look at.
    """
    if not wanted or not get_current_settings().api.url:
        yield
        return
    bar = ProgressArtifact(running)
    with watch(bar, running):
        yield
    bar.finish(running)
