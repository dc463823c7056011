"""Stage ``evaluate``: how good a model is on the test reviews, and where it is most wrong."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sentiment.batches import BatchSource
from sentiment.bundle import Bundle
from sentiment.classifier import Classifier
from sentiment.devices import choose_device
from sentiment.metrics import measure
from sentiment.progress import Progress, silent
from sentiment.recipe import EvaluateConfig
from sentiment.scoring import probabilities, score
from sentiment.tensors import EncodedReviews

MISTAKES = pa.schema(
    [
        ("row", pa.int64()),
        ("label", pa.uint8()),
        ("probability", pa.float64()),
        ("text", pa.string()),
    ]
)


def evaluate_model(
    bundle: Sequence[Path],
    test_tensors: Sequence[Path],
    test_reviews: Sequence[Path],
    *,
    evaluate: EvaluateConfig,
    out: Path,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write ``metrics.json``, ``predictions.parquet`` and ``mistakes.parquet``.

    ``bundle`` names the files of one model bundle; the test tensors and reviews are shards in the
    same order. Returns the headline figures, and the kind of device that scored.
    """
    loaded = Bundle.load(bundle[0].parent)
    config = loaded.config
    device = choose_device("auto" if config.train.device == "cuda" else config.train.device)
    reviews = EncodedReviews.load(test_tensors)
    source = BatchSource(
        reviews, padding=config.train.padding, max_length=config.tensors.max_length, device=device
    )
    chances = probabilities(score(loaded.model.to(device), source, progress))
    metrics = measure(reviews.labels, chances, reviews.words, threshold=evaluate.threshold)
    metrics["unknown_share"] = float(reviews.unknown.sum() / max(1, reviews.words.sum()))
    predictions = pd.DataFrame(
        {"row": reviews.rows, "label": reviews.labels, "probability": chances}
    )
    pq.write_table(
        pa.Table.from_pandas(predictions, preserve_index=False).replace_schema_metadata(),
        out / "predictions.parquet",
        compression="zstd",
    )
    pq.write_table(
        worst_mistakes(predictions, test_reviews, evaluate),
        out / "mistakes.parquet",
        compression="zstd",
    )
    (out / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    headline = ("rows", "accuracy", "accuracy_interval", "loss", "roc_auc")
    return {**{name: metrics[name] for name in headline}, "device": device.type}


def measure_bundle(
    bundle: Sequence[Path],
    test_reviews: Sequence[Path],
    *,
    threshold: float,
    out: Path,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write ``accuracy.json``: how a bundle does on reviews that were not encoded for it.

    It reads the texts as it would any other. Returns the same figures.
    """
    device = choose_device("auto")
    classifier = Classifier.load(bundle[0].parent, device.type)
    rows = correct = 0
    for shard in test_reviews:
        reviews = pq.read_table(shard, columns=["label", "text"])
        positive = classifier.predict_proba(reviews["text"].to_pylist()) >= threshold
        correct += int((positive == (reviews["label"].to_numpy() == 1)).sum())
        rows += len(reviews)
        progress(rows)
    figures = {"rows": rows, "accuracy": correct / rows}
    (out / "accuracy.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return figures


def worst_mistakes(
    predictions: pd.DataFrame, test_reviews: Sequence[Path], config: EvaluateConfig
) -> pa.Table:
    """Return the wrong predictions furthest from the threshold, the worst first, with texts.

    ``predictions`` has a row for each review of the shards ``test_reviews``, in their order.
    """
    wrong = (predictions["probability"] >= config.threshold) != (predictions["label"] == 1)
    distance = (predictions["probability"] - config.threshold).abs()
    places = distance[wrong].sort_values(ascending=False, kind="stable").index[: config.mistakes]
    texts: dict[int, str] = {}
    start = 0
    for shard in test_reviews:
        column = pq.read_table(shard, columns=["text"])["text"]
        inside = [place for place in places if start <= place < start + len(column)]
        texts.update({place: column[place - start].as_py() for place in inside})
        start += len(column)
    worst = predictions.loc[places].assign(text=[texts[place] for place in places])
    return pa.Table.from_pandas(worst, MISTAKES, preserve_index=False).replace_schema_metadata()
