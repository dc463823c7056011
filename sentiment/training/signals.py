"""Stopping at a safe point when the process is asked to end.

Stoppable work runs in the main thread and defers signals itself. Where others handle signals (so
Prefect cancels a run) it runs in a separate thread: see ``run_stoppable``.
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
STOPPABLE = "stoppable work"  # name of its thread


class StopRequest:
    """Whether the work was asked to end, and by which signal if it defers signals itself."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.asked = False

    def __bool__(self) -> bool:
        return self.asked or self.number is not None


_current: ContextVar[StopRequest | None] = ContextVar("stop_request", default=None)


def run_stoppable(work: Callable[[], Result]) -> Result:
    """Run work in another thread and return its result.

    An exception that interrupts the main thread meanwhile (KeyboardInterrupt, or raised by a signal
    handler) asks the work to stop, and is raised here once the work has ended.
    """
    request = StopRequest()
    context = copy_context()
    context.run(_current.set, request)
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(context.run(work))
        except BaseException as error:  # raised by future.result()
            future.set_exception(error)

    thread = threading.Thread(target=run, name=STOPPABLE)
    try:
        thread.start()
        return future.result()
    finally:
        request.asked = True
        if thread.is_alive():
            thread.join()


def wait_for_stoppable_work() -> None:
    """Wait until the threads of ``run_stoppable`` have ended."""
    for thread in threading.enumerate():
        if thread.name == STOPPABLE:
            thread.join()


@contextmanager
def hold_signals() -> Iterator[StopRequest]:
    """Defer SIGTERM and SIGINT inside the block, which checks the request and ends by itself.

    Any signal received is re-raised when the block ends. Only the main thread can defer signals;
    in the thread of ``run_stoppable`` this yields that function's request.
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
