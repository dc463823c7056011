"""When this process started."""

import os
import time
from functools import cache
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
