"""This process: when it started, and that it ends with the one that started it."""

import os
import threading
import time
from functools import cache
from multiprocessing import parent_process
from pathlib import Path

import psutil


@cache
def process_start() -> float:
    """Return a time, in seconds since the epoch, before which this process had loaded no code.

    On Linux it is exact to a hundredth of a second; psutil would round it to a whole one.
    """
    try:
        fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")  # seconds since boot
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - started
    except (OSError, AttributeError):
        return psutil.Process().create_time()
    return time.time() - age + 0.02  # a tick of the clock; Python takes longer to start


@cache
def end_with_parent() -> None:
    """End this process when the one that started it dies, as by kill -9.

    A worker of a process pool would else wait for work for ever: it holds both ends of the queue.
    """
    parent = parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, name="end with parent", daemon=True).start()
