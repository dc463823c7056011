"""The Prefect flows and the command line."""

import os

# Set before PyTorch is loaded. Its threads wait for work by spinning, which takes the CPU from
# other processes and from each other; with this they sleep after some microseconds. Without it,
# training the preset balanced beside one busy process was ten times slower: docs/experiments.md.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
