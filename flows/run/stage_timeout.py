"""A time limit for stages."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sentiment.errors import ConfigError, StageError


class StageTimeoutError(StageError):
    """A stage took longer than ``run.stage_timeout``."""


@contextmanager
def deadline(seconds: float | None, stage: str) -> Iterator[None]:
    """Raise StageTimeoutError inside the block after this many seconds; None for no limit.

    A SIGALRM interrupts the main thread, also during training. Work in other threads or processes
    is not interrupted: no new task starts, and running ones end first. (Prefect's own timeout of a
    task in a thread fires only when the task has ended.) Raises ConfigError outside the main
    thread, which gets no signals.
    """
    if seconds is None:
        yield
        return
    if threading.current_thread() is not threading.main_thread():
        raise ConfigError("run.stage_timeout works only where the flow has the main thread.")

    def expire(*_: object) -> None:
        raise StageTimeoutError(
            f"The stage {stage} took longer than run.stage_timeout, {seconds:g} s. What it has "
            "finished is kept: run it again with a higher limit."
        )

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
