"""Labels that are probably wrong, by confident learning (Northcutt et al. 2021)."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sentiment.evaluation.metrics import Floats

SUSPECTS = "suspected-labels.csv"
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


def write_suspects(
    path: Path, suspects: npt.NDArray[np.int64], answers: pa.Table, test_reviews: Sequence[Path]
) -> None:
    """Write row, label, probability of positive and text of the suspected reviews as CSV in UTF-8.

    ``suspects`` are places in ``answers``, which has a row for each review of the shards
    ``test_reviews``, in order. A text that a spreadsheet would take for a formula gets an
    apostrophe in front.
    """
    texts = pa.chunked_array(
        [
            chunk
            for shard in test_reviews
            for chunk in pq.read_table(shard, columns=["text"])["text"].chunks
        ],
        pa.string(),
    )
    chosen = answers.take(suspects).to_pylist()
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for place, answer in zip(suspects.tolist(), chosen, strict=True):
            text = texts[place].as_py()
            shown = f"'{text}" if text.startswith(FORMULA) else text
            probability = f"{answer['probability']:.6f}"
            table.writerow((answer["row"], answer["label"], probability, shown))
