"""The linear baseline beside scikit-learn, on the same features."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from sentiment.evaluation.baseline import train_baseline
from sentiment.evaluation.metrics import measure
from sentiment.model.inference import probabilities
from sentiment.text.tensors import EncodedReviews
from tests.support.bundles import Trained
from tests.support.reviews import contents


def train(trained: Trained, out: Path) -> dict[str, float]:
    out.mkdir(exist_ok=True)
    tensors = trained.train_tensors, trained.test_tensors
    return train_baseline(*tensors, trained.vocabulary, out=out)


def words_of(reviews: EncodedReviews) -> list[str]:
    """Return each review as a text of its ids."""
    return [
        " ".join(map(str, reviews.ids[start:end]))
        for start, end in zip(reviews.offsets[:-1], reviews.offsets[1:], strict=True)
    ]


def test_it_answers_as_scikit_learn_does(trained: Trained, tmp_path: Path) -> None:
    train(trained, tmp_path)
    logits = pq.read_table(tmp_path / "predictions.parquet")["logit"].to_numpy()
    learning, tested = map(EncodedReviews.load, (trained.train_tensors, trained.test_tensors))
    features = TfidfVectorizer(token_pattern=r"\S+", ngram_range=(1, 2), min_df=2)
    model = LogisticRegression().fit(features.fit_transform(words_of(learning)), learning.labels)
    expected = model.decision_function(features.transform(words_of(tested)))
    assert np.corrcoef(logits, expected)[0, 1] > 0.95
    assert ((logits >= 0) == (expected >= 0)).mean() > 0.95


def test_the_metrics_are_those_of_the_predictions(trained: Trained, tmp_path: Path) -> None:
    figures = train(trained, tmp_path)
    assert json.loads((tmp_path / "baseline.json").read_bytes()) == figures
    tested = EncodedReviews.load(trained.test_tensors)
    table = pq.read_table(tmp_path / "predictions.parquet")
    assert table["row"].to_pylist() == tested.rows.tolist()
    expected = measure(tested.labels, probabilities(table["logit"].to_numpy()), tested.words)
    for name in ("rows", "accuracy", "accuracy_interval"):
        assert figures[name] == expected[name]
    assert figures["loss"] == pytest.approx(expected["loss"])
    assert figures["accuracy"] > 0.8


def test_the_same_reviews_give_the_same_bytes(trained: Trained, tmp_path: Path) -> None:
    for name in ("one", "other"):
        train(trained, tmp_path / name)
    assert contents(tmp_path / "one") == contents(tmp_path / "other")
