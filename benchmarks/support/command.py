"""What the benchmark commands share: measure, print, write JSON, or report an error."""

import argparse
import json
from collections.abc import Callable
from typing import Any

from rich.console import Console

from benchmarks.support.compare import Disagreement
from sentiment.errors import SentimentError

Result = dict[str, Any]


def execute(
    options: argparse.Namespace,
    measure: Callable[[argparse.Namespace], Result],
    show: Callable[[Result, Console], None],
    *,
    width: int = 88,
) -> int:
    """Return the exit status; also write the results to ``options.json`` if given."""
    try:
        result = measure(options)
    except (Disagreement, SentimentError) as error:
        Console(stderr=True, highlight=False).print(f"Error: {error}", markup=False)
        return 1
    show(result, Console(width=width, highlight=False))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0
