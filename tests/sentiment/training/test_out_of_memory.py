"""Freed memory stays with the process."""

import subprocess
import sys

import pytest

# Takes and frees 64 MB over and over; prints how many pages the system had to hand out meanwhile.
PROGRAM = """
import resource, sys
from sentiment.training.out_of_memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
size = 1 << 26
bytearray(size)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    bytearray(size)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(how: str) -> int:
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True
    )
    return int(process.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_memory_is_not_fetched_again() -> None:
    assert page_faults("keep") < 100 < page_faults("not") / 10
