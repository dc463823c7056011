"""An evaluation: metrics of the predictions that it writes, and mistakes with their texts."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sentiment.evaluation.config import EvaluateConfig
from sentiment.evaluation.evaluate import MISTAKES, evaluate_model, worst_mistakes
from sentiment.evaluation.metrics import measure
from sentiment.explain.attribution import word_attributions
from sentiment.model.bundle import Bundle
from sentiment.text.tensors import EncodedReviews
from tests.support.bundles import TENSORS, Trained
from tests.support.reviews import contents, rows_of, write_reviews


def evaluate(trained: Trained, out: Path, **options: Any) -> dict[str, Any]:
    out.mkdir(exist_ok=True)
    return evaluate_model(
        sorted(trained.bundle.iterdir()),
        trained.test_tensors,
        trained.test_tokens,
        trained.test_reviews,
        evaluate=EvaluateConfig(**options),
        out=out,
    )


@pytest.fixture(scope="module")
def evaluated(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("evaluated")
    evaluate(trained, out)
    return out


def test_four_files_are_written(evaluated: Path) -> None:
    names = {path.name for path in evaluated.iterdir()}
    tables = {f"{name}.parquet" for name in ("predictions", "mistakes", "suspects")}
    assert names == {"metrics.json", *tables}


def test_predictions_have_every_test_review_in_order(evaluated: Path, trained: Trained) -> None:
    table = pq.read_table(evaluated / "predictions.parquet")
    assert {field.name: str(field.type) for field in table.schema} == {
        "row": "int64",
        "label": "uint8",
        "probability": "double",
    }
    reviews = [row for shard in trained.test_reviews for row in rows_of(shard)]
    assert len(trained.test_reviews) == 2
    assert table["row"].to_pylist() == [row for row, _, _ in reviews]
    assert table["label"].to_pylist() == [label for _, label, _ in reviews]


@pytest.mark.parametrize("threshold", [0.5, 0.2])
def test_metrics_are_those_of_the_predictions(
    trained: Trained, tmp_path: Path, threshold: float
) -> None:
    facts = evaluate(trained, tmp_path, threshold=threshold)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    predictions = pq.read_table(tmp_path / "predictions.parquet")
    tensors = EncodedReviews.load(trained.test_tensors)
    expected = measure(
        predictions["label"].to_numpy(),
        predictions["probability"].to_numpy(),
        tensors.words,
        threshold=threshold,
    )
    unknown = metrics.pop("unknown_share")
    names = ("by_unknown", "branches", "early_exit", "ece_unscaled", "ngrams", "suspected_labels")
    added = {name: metrics.pop(name) for name in names}
    assert metrics == json.loads(json.dumps(expected))
    assert sum(each["rows"] for each in added["by_unknown"]) == metrics["rows"]
    assert [branch["name"] for branch in added["branches"]] == ["lstm"]
    assert unknown == tensors.unknown.sum() / tensors.words.sum()
    assert added["ngrams"] is None
    suspects = rows_of(tmp_path / "suspects.parquet")
    assert len(suspects) == added["suspected_labels"] > 0
    texts = {row: (label, text) for s in trained.test_reviews for row, label, text in rows_of(s)}
    assert all(texts[row] == (label, text) for row, label, _, text in suspects)
    names = ("rows", "accuracy", "accuracy_interval", "mcc", "loss", "roc_auc", "confusion")
    assert facts == {**{name: metrics[name] for name in names}, "device": "cpu"}


def test_lengths_are_those_before_the_cut(evaluated: Path, trained: Trained) -> None:
    tensors = EncodedReviews.load(trained.test_tensors)
    assert tensors.words.max() > TENSORS.max_length == tensors.lengths.max()
    metrics = json.loads((evaluated / "metrics.json").read_text())
    longest = max(metrics["by_length"], key=lambda each: each["from"])
    assert longest["from"] > TENSORS.max_length
    assert longest["rows"] == (tensors.words >= longest["from"]).sum()


def test_the_model_has_learnt_and_makes_the_planted_mistakes(evaluated: Path) -> None:
    metrics = json.loads((evaluated / "metrics.json").read_text())
    assert 0.8 < metrics["accuracy"] < 1.0
    assert metrics["rows"] == 90


@pytest.mark.parametrize("mistakes", [0, 3])
def test_as_many_mistakes_are_kept_as_are_wanted(
    trained: Trained, tmp_path: Path, mistakes: int
) -> None:
    evaluate(trained, tmp_path, mistakes=mistakes)
    kept = pq.read_table(tmp_path / "mistakes.parquet")
    assert (kept.num_rows, kept.schema) == (mistakes, MISTAKES)
    everything = {text for shard in trained.test_reviews for _, _, text in rows_of(shard)}
    assert set(kept["text"].to_pylist()) <= everything


def test_the_same_model_gives_the_same_bytes(
    evaluated: Path, trained: Trained, tmp_path: Path
) -> None:
    evaluate(trained, tmp_path)
    assert contents(tmp_path) == contents(evaluated)


def test_progress_ends_at_the_number_of_reviews(trained: Trained, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    evaluate_model(
        sorted(trained.bundle.iterdir()),
        trained.test_tensors,
        trained.test_tokens,
        trained.test_reviews,
        evaluate=EvaluateConfig(),
        out=tmp_path,
        progress=lambda done, total=None, **_: seen.append((done, total)),
    )
    assert seen == [(26, 90), (90, 90)]


@settings(max_examples=50)
@given(
    answers=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 10)), min_size=1, max_size=20),
    shard_size=st.integers(1, 8),
    mistakes=st.integers(0, 6),
    threshold=st.sampled_from([0.3, 0.5]),
)
def test_the_worst_mistakes_are_those_of_a_plain_sort(
    tmp_path_factory: pytest.TempPathFactory,
    answers: list[tuple[int, int]],
    shard_size: int,
    mistakes: int,
    threshold: float,
) -> None:
    labels = [label for label, _ in answers]
    chances = [tenths / 10 for _, tenths in answers]
    reviews = [(3 * n, label, f"Review {n}") for n, label in enumerate(labels)]
    folder = tmp_path_factory.mktemp("shards")
    shards = [
        write_reviews(folder / f"test-{start:05d}.parquet", reviews[start : start + shard_size])
        for start in range(0, len(reviews), shard_size)
    ]
    wrong = [n for n in range(len(reviews)) if (chances[n] >= threshold) != (labels[n] == 1)]
    # The worst first; of equals the first. As many of each label, as far as there are.
    worst = sorted(wrong, key=lambda n: -abs(chances[n] - threshold))
    ranks = {n: [m for m in worst if labels[m] == labels[n]].index(n) for n in worst}
    kept = sorted(worst, key=lambda n: ranks[n])[:mistakes]
    expected = [n for n in worst if n in kept]

    predictions = pd.DataFrame(
        {
            "row": [row for row, _, _ in reviews],
            "label": np.array(labels, dtype=np.uint8),
            "probability": chances,
        }
    )
    found = worst_mistakes(predictions, shards, threshold, mistakes)
    assert found.index.tolist() == expected
    assert list(found.itertuples(index=False, name=None)) == [
        (3 * n, labels[n], chances[n], f"Review {n}") for n in expected
    ]


def test_each_word_that_was_read_of_a_mistake_has_its_attribution(
    evaluated: Path, trained: Trained
) -> None:
    bundle = Bundle.load(trained.bundle)
    tokens = {row: words for shard in trained.test_tokens for row, _, words in rows_of(shard)}
    kept = pq.read_table(evaluated / "mistakes.parquet").to_pylist()
    assert kept
    for mistake in kept:
        words = tokens[mistake["row"]][: TENSORS.max_length]
        assert mistake["words"] == words
        ids = torch.tensor(bundle.vocabulary.encode(words)).long()[None]
        attributions = word_attributions(bundle.model, ids, torch.tensor([len(words)]))
        assert mistake["attributions"] == pytest.approx(attributions[0].tolist(), abs=1e-6)


def test_calibration_before_scaling_is_that_of_the_bare_sum(
    evaluated: Path, trained: Trained
) -> None:
    model = Bundle.load(trained.bundle).model
    metrics = json.loads((evaluated / "metrics.json").read_text())
    chances = pq.read_table(evaluated / "predictions.parquet")["probability"].to_numpy()
    labels = EncodedReviews.load(trained.test_tensors).labels
    bare = 1 / (1 + np.exp(-np.log(chances / (1 - chances)) / model.scale.item()))
    assert model.scale.item() != 1
    assert metrics["ece_unscaled"] == pytest.approx(
        measure(labels, bare, labels)["calibration"]["ece"], abs=1e-6
    )
    assert metrics["branches"][0]["factor"] == model.scale.item()
