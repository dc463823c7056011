"""A model without an LSTM: its settings, its bundle, and what is done with it."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors import safe_open
from torch.nn.functional import embedding_bag

from sentiment import Classifier
from sentiment.explain.attribution import word_attributions
from sentiment.explain.explanation import attribute
from sentiment.model.bundle import Bundle
from sentiment.model.config import ModelConfig, NgramsConfig, TrainConfig
from sentiment.model.lstm import SentimentLSTM
from sentiment.text.vocabulary import PAD
from tests.support.bundles import Trained, history, train_again

WORDS = 12
LINEAR: dict[str, Any] = {
    "model": {"lstm": False, "ngrams": {"buckets": 64, "norm_smoothing": 4.0}},
    "learning_rate": TrainConfig().learning_rate,
}
TEXTS = ["a lovely lamp", "an awful, awful kettle and some more", "unheard-of"]


def make() -> SentimentLSTM:
    """Return a model of random weights."""
    torch.manual_seed(3)
    wide = NgramsConfig(buckets=16, norm_smoothing=4.0)
    model = SentimentLSTM(ModelConfig(lstm=False, ngrams=wide), WORDS).eval()
    assert model.ngrams is not None
    with torch.no_grad():
        model.ngrams.weight.normal_()
        model.ngrams.bias.fill_(0.7)
        model.ngrams.idf.uniform_(0.5, 2.0)
        model.scale.fill_(1.7)
    return model


@pytest.fixture(scope="module")
def linear(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle trained on the shared reviews."""
    folder = tmp_path_factory.mktemp("linear")
    train_again(trained, folder, **LINEAR)
    return folder


@torch.no_grad()
def test_its_logit_is_a_weighted_sum_over_the_features() -> None:
    model = make()
    assert model.ngrams is not None
    ids, lengths = torch.tensor([[3, 4, 3, 5, 9], [7, 1, PAD, PAD, PAD]]), torch.tensor([5, 2])
    for row, logit in enumerate(model(ids, lengths)):
        features, present = model.ngrams.features(ids[row : row + 1])
        found = features[present]
        values = model.ngrams.idf[found]
        length = (values @ values + 4.0).sqrt()
        expected = embedding_bag(
            found[None], model.ngrams.weight, mode="sum", per_sample_weights=values[None] / length
        )
        assert float(logit) == pytest.approx(1.7 * (float(expected) + 0.7), abs=1e-5)


def test_it_has_one_branch_and_no_weights_of_an_lstm(linear: Path) -> None:
    with safe_open(linear / "model.safetensors", framework="pt") as file:
        names = set(file.keys())
    assert names == {"ngrams.weight", "ngrams.bias", "ngrams.idf", "scale"}
    model = Bundle.load(linear).model
    assert model.branch_names == ("ngrams",)
    assert len(model.scale) == 1


def test_it_learns_and_its_history_has_the_rate_of_its_branch(linear: Path) -> None:
    rows = history(linear)
    assert rows[-1]["validation_accuracy"] > 0.8
    assert max(row["learning_rate"] for row in rows) <= NgramsConfig().learning_rate
    assert max(row["learning_rate"] for row in rows) > TrainConfig().learning_rate


def test_a_bundle_reads_back(linear: Path, trained: Trained, tmp_path: Path) -> None:
    again = tmp_path / "again"
    train_again(trained, again, **LINEAR)
    weights = (linear / "model.safetensors").read_bytes()
    assert (again / "model.safetensors").read_bytes() == weights
    np.testing.assert_array_equal(
        Classifier.load(again).probabilities(TEXTS), Classifier.load(linear).probabilities(TEXTS)
    )


def test_attributions_add_up_exactly_without_captum(
    linear: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    found = Classifier.load(linear).explain("The kettle: a dreadful, zyzzyva lovely kettle")
    assert found.forward is None and found.backward is None
    assert found.miss == pytest.approx(0, abs=1e-5)
    assert abs(found.attributions).sum() > 0.1
    assert found.to_json()["forward"] is None


def test_the_words_of_a_mistake_get_the_same_attributions() -> None:
    model, ids, lengths = make(), torch.tensor([[3, 4, 3, 5]]), torch.tensor([4])
    explained, baseline = attribute(model, ids, lengths)
    torch.testing.assert_close(word_attributions(model, ids, lengths)[0], explained)
    assert baseline == pytest.approx(1.7 * 0.7)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"model": {"ngrams": None}}, "ngrams: needed with lstm false"),
        ({"model": {"hidden_size": 64}}, "hidden_size: only for an LSTM"),
        ({"model": {"layers": 2, "head_dropout": 0.5}}, "layers, head_dropout: only for an LSTM"),
        ({"sentences": 1}, "sentences: only for an LSTM, and model.lstm is false"),
        ({"padding": "left"}, "padding: only for an LSTM"),
        ({"learning_rate": 0.1, "weight_decay": 0.0}, "learning_rate, weight_decay: only for an"),
        ({"vectors": "glove.txt"}, "vectors: only for an LSTM"),
    ],
)
def test_settings_of_an_lstm_are_refused(settings: dict[str, Any], named: str) -> None:
    model = {"lstm": False, "ngrams": {}, **settings.get("model", {})}
    with pytest.raises(ValidationError, match=named):
        TrainConfig.model_validate({**settings, "model": model})


def test_settings_that_the_ngrams_use_are_taken() -> None:
    train = TrainConfig.model_validate({**LINEAR, "epochs": 5, "max_length": 9, "warmup": 0.2})
    assert train.model.branch_names == ("ngrams",)
    assert TrainConfig.model_validate(train.model_dump()) == train
