"""Runs of a terminal that their user stops: cancelled in Prefect, which would call them crashed.

Runs of a worker are stopped by it with SIGTERM, which Prefect itself takes for a cancellation.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from prefect import State
from prefect.client.orchestration import get_client
from prefect.exceptions import CancelledRun
from prefect.runtime import flow_run
from prefect.states import Cancelled

from flows.server.processes import RUN

ASK_EVERY = 5.0  # seconds


def interrupted() -> State[Any]:
    """Return the state in which a flow ends that was interrupted."""
    return Cancelled(message="Stopped by its user.")


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt where a flow that is called inside ends as ``interrupted``."""
    try:
        yield
    except CancelledRun as cancelled:
        raise KeyboardInterrupt from cancelled


@contextmanager
def cancellable() -> Iterator[None]:
    """Interrupt the block as Ctrl-C does when its flow run is cancelled in the UI.

    Otherwise nobody tells a run of a terminal, which would be shown as cancelling for ever.
    """
    if RUN in os.environ:
        yield
        return
    over, mine = threading.Event(), flow_run.id

    def watch() -> None:
        while not over.wait(ASK_EVERY):
            # Whatever is wrong with the server, the run itself gets to know of it.
            with suppress(Exception), get_client(sync_client=True) as client:
                state = client.read_flow_run(mine).state
                if state and state.is_cancelling() and not over.is_set():
                    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
                    return

    threading.Thread(target=watch, name="watch for a cancellation", daemon=True).start()
    try:
        yield
    finally:
        over.set()
