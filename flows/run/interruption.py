"""Ctrl-C on a flow run of a terminal: cancelled in Prefect, which would show it as crashed.

SIGTERM is left to Prefect: its worker sends it to cancel a run, and then says so itself.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect import State
from prefect.exceptions import CancelledRun
from prefect.states import Cancelled


def interrupted() -> State[Any]:
    """Return the state in which a flow ends that was interrupted by Ctrl-C."""
    return Cancelled(message="Interrupted by Ctrl-C.")


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt where a flow that is called inside ends as ``interrupted``."""
    try:
        yield
    except CancelledRun as cancelled:
        raise KeyboardInterrupt from cancelled
