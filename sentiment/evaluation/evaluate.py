"""Stage ``evaluate``: a model's metrics on the test reviews, and its worst mistakes."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sentiment.evaluation.ablation import ablation, early_exit_effect
from sentiment.evaluation.config import EvaluateConfig
from sentiment.evaluation.metrics import (
    accuracy_by_unknown,
    calibration_bins,
    confusion_counts,
    mcc_of,
    measure,
)
from sentiment.explain.attribution import word_attributions
from sentiment.model.batches import BatchSource
from sentiment.model.bundle import Bundle
from sentiment.model.devices import arithmetic, choose_device
from sentiment.model.inference import combine, probabilities, score_branches
from sentiment.model.lstm import SentimentLSTM
from sentiment.model.texts import score_texts
from sentiment.progress import Progress, silent
from sentiment.text.tensors import EncodedReviews, on_disk
from sentiment.text.vocabulary import PAD

MISTAKES = pa.schema(
    [
        ("row", pa.int64()),
        ("label", pa.uint8()),
        ("probability", pa.float64()),
        ("text", pa.string()),
        ("words", pa.list_(pa.string())),  # those that the model read
        ("attributions", pa.list_(pa.float32())),  # see sentiment.explain.attribution
    ]
)


def evaluate_model(
    bundle: Sequence[Path],
    test_tensors: Sequence[Path],
    test_tokens: Sequence[Path],
    test_reviews: Sequence[Path],
    *,
    evaluate: EvaluateConfig,
    out: Path,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write ``metrics.json``, ``predictions.parquet`` and ``mistakes.parquet``.

    ``bundle`` lists the files of one model bundle; test tensors, tokens and reviews are shards in
    the same order. Returns the main metrics and the type of the device.
    """
    loaded = Bundle.load(bundle[0].parent)
    config = loaded.config
    device = choose_device("auto" if config.train.device == "cuda" else config.train.device)
    threshold = config.threshold if evaluate.threshold is None else evaluate.threshold
    model = loaded.model.to(device)

    def measured(reviews: EncodedReviews) -> dict[str, Any]:
        source = BatchSource(
            reviews,
            padding=config.train.padding,
            max_length=config.tensors.max_length,
            device=device,
        )
        with arithmetic("float32", device):  # as a CPU would
            branches = score_branches(model, source, progress)
        logits = combine(branches, model)
        p = probabilities(logits)
        fast = config.early_exit if threshold == config.threshold else None
        unscaled = probabilities(branches.sum(axis=1))
        metrics = {
            **measure(reviews.labels, p, reviews.words, threshold=threshold),
            "unknown_share": float(reviews.unknown.sum() / max(1, reviews.words.sum())),
            "by_unknown": accuracy_by_unknown(
                (p >= threshold) == (reviews.labels == 1),
                reviews.unknown / np.maximum(1, reviews.words),
            ),
            "branches": ablation(
                branches, reviews.labels, model.branch_names, model.scale.tolist(), threshold
            ),
            "early_exit": fast
            and early_exit_effect(branches, logits, reviews.labels, fast, threshold),
            "ece_unscaled": calibration_bins(reviews.labels == 1, unscaled)["ece"],
        }
        predictions = pd.DataFrame({"row": reviews.rows, "label": reviews.labels, "probability": p})
        pq.write_table(
            pa.Table.from_pandas(predictions, preserve_index=False).replace_schema_metadata(),
            out / "predictions.parquet",
            compression="zstd",
        )
        worst = worst_mistakes(predictions, test_reviews, threshold, evaluate.mistakes)
        attributions = [_attributions(model, source, place) for place in worst.index]
        tokens = column_at(test_tokens, "tokens", worst.index)
        words = [found[: len(read)] for found, read in zip(tokens, attributions, strict=True)]
        columns = {**worst.to_dict("list"), "words": words, "attributions": attributions}
        mistakes = pa.table([pa.array(columns[f.name], f.type) for f in MISTAKES], schema=MISTAKES)
        pq.write_table(mistakes, out / "mistakes.parquet", compression="zstd")
        return metrics

    metrics = on_disk(test_tensors, out, measured)
    (out / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    headline = ("rows", "accuracy", "accuracy_interval", "mcc", "loss", "roc_auc", "confusion")
    return {**{name: metrics[name] for name in headline}, "device": device.type}


def measure_bundle(
    bundle: Sequence[Path],
    test_reviews: Sequence[Path],
    *,
    threshold: float | None,
    out: Path,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Measure a bundle on review texts; write ``accuracy.json`` and return its content.

    Without a threshold, at the bundle's own.
    """
    device = choose_device("auto")
    loaded = Bundle.load(bundle[0].parent)
    loaded.model.to(device)
    threshold = loaded.config.threshold if threshold is None else threshold
    counts: Counter[str] = Counter()
    for shard in test_reviews:
        reviews = pq.read_table(shard, columns=["label", "text"])
        with arithmetic("float32", device):
            p = score_texts(loaded, reviews["text"].to_pylist(), device)
        counts.update(confusion_counts(reviews["label"].to_numpy() == 1, p >= threshold))
        progress(counts.total())
    rows, correct = counts.total(), counts["true_positive"] + counts["true_negative"]
    measured = {"rows": rows, "accuracy": correct / rows, "mcc": mcc_of(counts)}
    (out / "accuracy.json").write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    return measured


def worst_mistakes(
    predictions: pd.DataFrame, test_reviews: Sequence[Path], threshold: float, most: int
) -> pd.DataFrame:
    """Return the wrong predictions furthest from the threshold, worst first, with their texts.

    At ``most`` that many.

    ``predictions`` has a row for each review of the shards ``test_reviews``, in order; the result
    keeps their index.
    """
    wrong = (predictions["probability"] >= threshold) != (predictions["label"] == 1)
    distance = (predictions["probability"] - threshold).abs()
    places = distance[wrong].sort_values(ascending=False, kind="stable").index[:most]
    return predictions.loc[places].assign(text=column_at(test_reviews, "text", places))


def column_at(shards: Sequence[Path], column: str, places: Iterable[int]) -> list[Any]:
    """Return a column's values at the given rows, which are counted over all shards."""
    wanted = list(places)
    values: dict[int, Any] = {}
    start = 0
    for shard in shards:
        end = start + pq.read_metadata(shard).num_rows
        inside = [place for place in wanted if start <= place < end]
        if inside:
            found = pq.read_table(shard, columns=[column])[column]
            values.update({place: found[place - start].as_py() for place in inside})
        start = end
    return [values[place] for place in wanted]


def _attributions(model: SentimentLSTM, source: BatchSource, place: int) -> list[float]:
    """Return the attribution of each word that the model reads of one review."""
    batch = source.take(np.array([place]))
    attributions = word_attributions(model, batch.ids, batch.lengths)
    found: list[float] = attributions[batch.ids != PAD].tolist()
    return found
