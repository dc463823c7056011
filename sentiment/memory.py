"""Memory that a process gives back and takes again many times a second."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of mallopt(3)


def keep_freed_memory() -> None:
    """Make glibc keep freed memory for the next allocation; elsewhere do nothing.

    A training step frees and takes the gradient of the whole embedding, tens of megabytes, which
    glibc would each time give to the system and fetch back page by page.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
