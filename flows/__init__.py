"""Which stages run, in what order, and the command line."""

import os

# PyTorch's threads wait for each other by spinning, which starves them as soon as anything else
# needs a core: 13 times slower beside one busy process (docs/experiments.md). Set before it loads.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
