"""The history of a training run: a row for each step that is logged or validated."""

from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

HISTORY = pa.schema(
    [
        ("step", pa.int64()),
        ("epoch", pa.float64()),
        ("train_loss", pa.float64()),
        ("validation_loss", pa.float64()),
        ("validation_accuracy", pa.float64()),
        ("learning_rate", pa.float64()),
    ]
)

Record = Callable[[Mapping[str, Any]], None]  # called with each row as it is added


def discard(row: Mapping[str, Any]) -> None:
    """Discard the row."""
