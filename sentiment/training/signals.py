"""Stopping at a good moment when the process is asked to end.

Work that may be stopped runs in the main thread and holds signals back itself, or, where others
handle them (Prefect cancels a run so), in a thread of its own: see ``run_stoppable``.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from types import FrameType
from typing import TypeVar

Result = TypeVar("Result")

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """Whether the work was asked to end, and by which signal if it holds signals back."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.asked = False

    def __bool__(self) -> bool:
        return self.asked or self.number is not None


_current: ContextVar[StopRequest | None] = ContextVar("stop_request", default=None)


def run_stoppable(work: Callable[[], Result]) -> Result:
    """Run work in another thread and return its result.

    Whatever interrupts the main thread meanwhile (KeyboardInterrupt, what a handler raises) asks
    the work to stop, and is raised here when the work has come to its end.
    """
    request = StopRequest()
    context = copy_context()
    context.run(_current.set, request)
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(context.run(work))
        except BaseException as error:  # raised where the result is asked for
            future.set_exception(error)

    thread = threading.Thread(target=run, name="stoppable work")
    try:
        thread.start()
        return future.result()
    finally:
        request.asked = True
        if thread.is_alive():
            thread.join()


@contextmanager
def hold_signals() -> Iterator[StopRequest]:
    """Hold SIGTERM and SIGINT back inside the block, for it to look at and to leave by itself.

    At the end of the block a signal that came takes the effect that it would have had. Only the
    main thread can do this; in that of ``run_stoppable`` its request is the one to look at.
    """
    request = _current.get()
    if request is None:
        request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def note(number: int, frame: FrameType | None) -> None:
        request.number = number

    before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if request.number is not None:
            os.kill(os.getpid(), request.number)
