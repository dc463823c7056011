"""Stage ``evaluate``: a model's metrics on the test reviews, and which of them people may read."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sentiment.evaluation.ablation import ablation, early_exit_effect
from sentiment.evaluation.config import EvaluateConfig
from sentiment.evaluation.label_errors import MOST_SUSPECTS, suspected_labels
from sentiment.evaluation.metrics import (
    accuracy_by_unknown,
    calibration_bins,
    confusion_counts,
    mcc_of,
    measure,
)
from sentiment.explain.attribution import word_attributions
from sentiment.explain.strongest_ngrams import strongest_ngrams
from sentiment.model.batches import BatchSource
from sentiment.model.bundle import Bundle
from sentiment.model.devices import arithmetic, choose_device
from sentiment.model.inference import combine, probabilities, score_branches, score_fast
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
SUSPECTS = pa.schema([field for field in MISTAKES if field.name not in ("words", "attributions")])


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
    """Write ``metrics.json``, ``predictions.parquet``, ``mistakes.parquet``, ``suspects.parquet``.

    The suspects are the reviews whose labels are probably wrong, with their texts.

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
            exits = config.early_exits if threshold == config.threshold else ()
            fast = score_fast(model, source, exits, threshold) if exits else None
        logits = combine(branches, model)
        p = probabilities(logits)
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
            "early_exit": fast and early_exit_effect(fast, logits, reviews.labels, threshold),
            "ece_unscaled": calibration_bins(reviews.labels == 1, unscaled)["ece"],
            "ngrams": None
            if model.ngrams is None
            else strongest_ngrams(model.ngrams, float(model.scale[-1]), loaded.vocabulary, source),
        }
        predictions = pd.DataFrame({"row": reviews.rows, "label": reviews.labels, "probability": p})
        _write(pa.Table.from_pandas(predictions, preserve_index=False), out / "predictions.parquet")
        suspects = suspected_labels(reviews.labels, p)
        metrics["suspected_labels"] = len(suspects)
        listed = with_texts(predictions, predictions.index[suspects[:MOST_SUSPECTS]], test_reviews)
        table = pa.Table.from_pandas(listed, SUSPECTS, preserve_index=False)
        _write(table, out / "suspects.parquet")
        worst = worst_mistakes(predictions, test_reviews, threshold, evaluate.mistakes)
        attributions = [_attributions(model, source, place) for place in worst.index]
        tokens = column_at(test_tokens, "tokens", worst.index)
        words = [config.tensors.kept(found) for found in tokens]
        columns = {**worst.to_dict("list"), "words": words, "attributions": attributions}
        mistakes = pa.table([pa.array(columns[f.name], f.type) for f in MISTAKES], schema=MISTAKES)
        _write(mistakes, out / "mistakes.parquet")
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

    Without a threshold, at the bundle's own. Also writes ``predictions.parquet``, the probabilities
    in the reviews' order.
    """
    device = choose_device("auto")
    loaded = Bundle.load(bundle[0].parent)
    loaded.model.to(device)
    threshold = loaded.config.threshold if threshold is None else threshold
    counts: Counter[str] = Counter()
    answers: list[npt.NDArray[np.float64]] = []
    for shard in test_reviews:
        reviews = pq.read_table(shard, columns=["label", "text"])
        with arithmetic("float32", device):
            p = score_texts(loaded, reviews["text"].to_pylist(), device)
        answers.append(p)
        counts.update(confusion_counts(reviews["label"].to_numpy() == 1, p >= threshold))
        progress(counts.total())
    _write(pa.table({"probability": np.concatenate(answers)}), out / "predictions.parquet")
    rows, correct = counts.total(), counts["true_positive"] + counts["true_negative"]
    measured = {"rows": rows, "accuracy": correct / rows, "mcc": mcc_of(counts)}
    (out / "accuracy.json").write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    return measured


def worst_mistakes(
    predictions: pd.DataFrame, test_reviews: Sequence[Path], threshold: float, most: int
) -> pd.DataFrame:
    """Return the wrong predictions furthest from the threshold, worst first, with their texts.

    At ``most`` that many: as many of each label, unless there are too few of one. ``predictions``
    has a row for each review of the shards ``test_reviews``, in order; the result keeps their
    index.
    """
    wrong = (predictions["probability"] >= threshold) != (predictions["label"] == 1)
    distance = (predictions["probability"] - threshold).abs()
    order = distance[wrong].sort_values(ascending=False, kind="stable").index
    rank = predictions.loc[order].groupby("label").cumcount()  # among those of the same label
    kept = rank.sort_values(kind="stable").index[:most]
    return with_texts(predictions, order[order.isin(kept)], test_reviews)


def with_texts(
    predictions: pd.DataFrame, places: pd.Index, test_reviews: Sequence[Path]
) -> pd.DataFrame:
    """Return the predictions at some places of the index, with the reviews' texts."""
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


def _write(table: pa.Table, path: Path) -> None:
    pq.write_table(table.replace_schema_metadata(), path, compression="zstd")


def _attributions(model: SentimentLSTM, source: BatchSource, place: int) -> list[float]:
    """Return the attribution of each word that the model reads of one review."""
    batch = source.take(np.array([place]))
    attributions = word_attributions(model, batch.ids, batch.lengths)
    found: list[float] = attributions[batch.ids != PAD].tolist()
    return found
