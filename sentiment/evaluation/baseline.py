"""Stage ``baseline``: a linear n-gram model, which any other has to beat.

TF-IDF of words and bigrams with logistic regression, the same in kind as the n-gram branch of a
model, but trained alone.
"""

import json
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from sentiment.evaluation.metrics import wilson_interval
from sentiment.model.batches import BatchSource, scoring_order, training_order
from sentiment.model.config import NgramsConfig
from sentiment.model.inference import binary_cross_entropy
from sentiment.model.ngrams import BATCH_SIZE, Ngrams
from sentiment.progress import Progress, silent
from sentiment.text.tensors import EncodedReviews, on_disk
from sentiment.text.vocabulary import Vocabulary

# Practically without smoothing: scaled to norm 1, as is usual for TF-IDF.
NGRAMS = NgramsConfig(max_n=2, buckets=2**20, min_count=2, learning_rate=0.1, norm_smoothing=1e-6)
EPOCHS, LEAST_STEPS = 3, 60  # more epochs if they would make fewer steps
STEP_SIZE = 256  # reviews per optimizer step
SEED = 1
CPU = torch.device("cpu")


def train_baseline(
    train_tensors: Sequence[Path],
    test_tensors: Sequence[Path],
    vocabulary: Path,
    *,
    out: Path,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Train on the training reviews; write ``predictions.parquet`` and ``baseline.json``.

    The predictions are the logits of the test reviews, in order. Returns the content of the JSON
    file: rows, accuracy with its interval, and loss. Runs on the CPU, where equal inputs give equal
    bytes.
    """
    ngrams = Ngrams(NGRAMS, len(Vocabulary.load(vocabulary)))
    on_disk(train_tensors, out, partial(fit, ngrams, progress=progress))
    return on_disk(test_tensors, out, partial(_measure, ngrams, out))


def _measure(ngrams: Ngrams, out: Path, tested: EncodedReviews) -> dict[str, Any]:
    """Write the logits of the test reviews and how good they are."""
    logits = np.empty(len(tested))
    source = _source(tested)
    with torch.inference_mode():
        for places in scoring_order(source.lengths, BATCH_SIZE):
            logits[places] = ngrams(source.take(places).ids).numpy()
    correct = int(((logits >= 0) == (tested.labels == 1)).sum())
    measured = {
        "rows": len(tested),
        "accuracy": correct / len(tested),
        "accuracy_interval": list(wilson_interval(correct, len(tested))),
        "loss": binary_cross_entropy(logits, tested.labels),
    }
    table = pa.table({"row": tested.rows, "logit": logits})
    pq.write_table(table, out / "predictions.parquet", compression="zstd")
    (out / "baseline.json").write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    return measured


def fit(ngrams: Ngrams, reviews: EncodedReviews, progress: Progress = silent) -> None:
    """Train the weights by a few epochs of Adam with a learning rate that decays to 0."""
    source = _source(reviews)
    ngrams.fit_idf(source)
    optimizer = torch.optim.Adam(ngrams.parameters(), lr=NGRAMS.learning_rate, fused=True)
    epoch_steps = math.ceil(len(reviews) / STEP_SIZE)
    epochs = max(EPOCHS, math.ceil(LEAST_STEPS / epoch_steps))
    steps = epochs * epoch_steps
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=steps)
    done = 0
    for epoch in range(epochs):
        for places in training_order(
            source.lengths, STEP_SIZE, seed=SEED, epoch=epoch, by_length=True
        ):
            batch = source.take(places)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                ngrams(batch.ids), batch.labels
            )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            done += len(places)
            progress(done, epochs * len(reviews))


def _source(reviews: EncodedReviews) -> BatchSource:
    longest = max(1, int(reviews.lengths.max()))
    return BatchSource(reviews, padding="right", max_length=longest, device=CPU)
