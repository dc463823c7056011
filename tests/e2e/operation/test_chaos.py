"""Disturb runs at random. A few rounds here; `make chaos N=200` for more.

The timing is not part of the seed: the same seed disturbs in the same way, at about the same time.
"""

import os
import time
from pathlib import Path

from tests.e2e.operation.chaos import Chaos

ROUNDS = int(os.environ.get("CHAOS_ROUNDS") or 5)
SEED = int(os.environ.get("CHAOS_SEED") or 1)


def test_whatever_happens_a_run_ends_with_the_right_bytes_or_a_clear_error(
    tmp_path: Path, server: dict[str, str]
) -> None:
    chaos = Chaos(tmp_path, server, SEED)
    for number in range(1, ROUNDS + 1):
        began = time.monotonic()
        try:
            assert chaos.round() in {"completed", "a clear error", "stopped", "killed"}
            print(f"{time.monotonic() - began:.1f}", end=" ", flush=True)
        except BaseException:
            print(f"\nround {number} of CHAOS_SEED={SEED}, after: {dict(chaos.tally)}")
            raise
    print(f"\n{ROUNDS} rounds, CHAOS_SEED={SEED}, all right")
    for what, times in sorted(chaos.tally.items()):
        print(f"{times:>6}  {what}")
