"""Which stages run, in what order, and the command line."""

import os

# Before PyTorch is loaded: its threads wait for work by spinning, which takes the processor from
# whatever runs beside them, and from each other. So they fall asleep after some microseconds.
# Training the preset balanced beside one busy process was ten times slower without; see
# docs/experiments.md.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
