"""Labels that are probably wrong, by confident learning (Northcutt et al. 2021)."""

import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sentiment.evaluation.metrics import Floats

SUSPECTS = "suspected-labels.csv"
MOST_SUSPECTS = 1_000  # are listed: more than people look at
COLUMNS = ("row", "label", "probability", "text")
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would compute such a cell


def suspected_labels(labels: npt.NDArray[np.uint8], scores: Floats) -> npt.NDArray[np.int64]:
    """Return the places of the reviews whose label is suspected, the most suspicious first.

    ``labels`` (n,) are 0 or 1, ``scores`` (n,) probabilities of 1 by a model that was not trained
    on these reviews. A label is suspected if the model prefers the other class, and is at least as
    sure of it as it is on average of reviews with that label.
    """
    positive = labels == 1
    if positive.all() or not positive.any():
        return np.empty(0, np.int64)  # nothing says how sure the model is of the other class
    other = np.where(positive, 1 - scores, scores)
    usual = np.where(positive, 1 - scores[~positive].mean(), scores[positive].mean())
    suspected = np.flatnonzero((other >= usual) & (other > 0.5))
    return suspected[np.argsort(-other[suspected], kind="stable")]


def write_suspects(path: Path, suspects: pa.Table) -> None:
    """Write reviews (row, label, probability of positive, text) as CSV in UTF-8.

    A text that a spreadsheet would take for a formula gets an apostrophe in front.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for row in suspects.select(COLUMNS).to_pylist():
            text = row["text"]
            shown = f"'{text}" if text.startswith(FORMULA) else text
            table.writerow((row["row"], row["label"], f"{row['probability']:.6f}", shown))
