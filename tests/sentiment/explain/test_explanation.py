"""Explanations: attributions add up, prefixes are scored as separate texts."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from sentiment import Classifier
from sentiment.errors import DataError, ModelError
from sentiment.explain import explanation
from sentiment.explain.explanation import TOLERANCE, attribute, explain_text, integrated_gradients
from sentiment.model.bundle import Bundle
from sentiment.model.config import ModelConfig, NgramsConfig
from sentiment.model.lstm import SentimentLSTM
from sentiment.reports.explanation_page import render_explanation
from sentiment.text.tensors import TensorsConfig
from sentiment.text.vocabulary import PAD, UNKNOWN
from tests.support.bundles import TENSORS, Trained

TEXT = "The kettle: a dreadful, zyzzyva lovely kettle and then some more"


@pytest.fixture(scope="module")
def bundle(trained: Trained) -> Bundle:
    return Bundle.load(trained.bundle)


def make(
    pooling: str, layers: int = 1, bidirectional: bool = True, std: float = 0.5
) -> SentimentLSTM:
    """Return a model of large random weights, so that its logit bends."""
    torch.manual_seed(3)
    config = ModelConfig.model_validate(
        {
            "embedding_size": 6,
            "hidden_size": 5,
            "layers": layers,
            "bidirectional": bidirectional,
            "pooling": pooling,
            "head_dropout": 0.5,
            "ngrams": NgramsConfig(buckets=32, norm_smoothing=4.0),
        }
    )
    model = SentimentLSTM(config, 30).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=std)
        model.scale.copy_(torch.tensor([0.8, 1.7]))
    return model


@pytest.mark.parametrize("pooling", ["last", "mean", "max", "mean+max"])
@pytest.mark.parametrize(("layers", "bidirectional"), [(1, True), (2, False)])
# With larger weights max pooling's slope jumps too far for the most points that are taken.
@pytest.mark.parametrize(("std", "most"), [(0.5, TOLERANCE), (0.7, 0.02)])
def test_attributions_add_up(
    pooling: str, layers: int, bidirectional: bool, std: float, most: float
) -> None:
    model = make(pooling, layers, bidirectional, std)
    ids, lengths = torch.tensor([[3, 4, 5, 4, 9, 17, 28, 11]]), torch.tensor([8])
    with torch.no_grad():
        logit = float(model(ids, lengths))
        blank = torch.full_like(ids, UNKNOWN)
        nothing = float(model.scale @ torch.cat([model.lstm(blank, lengths), model.ngrams.bias]))  # type: ignore[union-attr]
    attributions, baseline = attribute(model, ids, lengths)
    assert baseline == pytest.approx(nothing, abs=1e-5)
    assert float(attributions.abs().sum()) > 0.1
    assert float(attributions.sum()) == pytest.approx(logit - baseline, abs=most)


def test_integrated_gradients_are_the_mean_slope_along_the_way() -> None:
    model, lengths = make("mean").double(), torch.tensor([3])
    words = model.embedding(torch.tensor([[3, 4, 5]])).detach()
    blank = model.embedding(torch.tensor([[UNKNOWN] * 3])).detach()
    found = integrated_gradients(model, words, blank, lengths)
    expected = torch.zeros(3, dtype=torch.float64)
    points = 2000
    for place in (np.arange(points) + 0.5) / points:  # the midpoint rule
        between = (blank + place * (words - blank)).requires_grad_()
        (slopes,) = torch.autograd.grad(model.read(between, lengths).sum(), between)
        expected += (slopes * (words - blank)).sum(dim=-1)[0] / points
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-4)


def test_an_unknown_word_adds_nothing_through_the_lstm() -> None:
    model = make("mean+max")
    model.ngrams = None
    ids = torch.tensor([[3, UNKNOWN, 5]])
    attributions, _ = attribute(model, ids, torch.tensor([3]))
    assert attributions[1] == 0
    assert attributions[[0, 2]].abs().min() > 0


def test_padding_on_the_left_adds_nothing() -> None:
    model = make("last", bidirectional=False)
    ids = torch.tensor([[PAD, PAD, 3, 4]])
    attributions, baseline = attribute(model, ids, torch.tensor([4]))
    assert attributions[:2].tolist() == [0, 0]
    with torch.no_grad():
        logit = float(model(ids, torch.tensor([4])))
    assert float(attributions.sum()) == pytest.approx(logit - baseline, abs=TOLERANCE)


def test_an_explanation_covers_every_word(bundle: Bundle) -> None:
    result = explain_text(bundle, TEXT, torch.device("cpu"))
    assert (
        " ".join(result.words)
        == "the kettle : a dreadful , zyzzyva lovely kettle and then some more"
    )
    assert [w for w, known in zip(result.words, result.known, strict=True) if not known] == [
        "zyzzyva"
    ]
    assert result.backward is not None
    for column in (result.attributions, result.running, *vars(result.forward).values()):
        assert column.shape == (13,)
        assert column.dtype == np.float64
    for activity in (result.forward, result.backward):
        gates = np.stack([activity.input, activity.forget, activity.output])
        assert ((gates > 0) & (gates < 1)).all()
    weights = dict(zip(result.words, result.attributions, strict=True))
    assert weights["lovely"] > 0 > weights["dreadful"]
    assert result.left_out == 0


def test_the_running_probability_is_that_of_each_prefix(bundle: Bundle) -> None:
    classifier = Classifier(bundle)
    result = classifier.explain(TEXT)
    prefixes = [" ".join(result.words[: n + 1]) for n in range(len(result.words))]
    np.testing.assert_allclose(
        result.running, classifier.probabilities(prefixes), rtol=0, atol=1e-6
    )
    assert result.probability == result.running[-1]
    assert result.probability == pytest.approx(1 / (1 + np.exp(-result.logit)))


def test_a_long_text_is_explained_as_far_as_the_model_reads(bundle: Bundle) -> None:
    result = explain_text(bundle, "a lovely lamp " * 20, torch.device("cpu"))
    assert (len(result.words), result.left_out) == (TENSORS.max_length, 60 - TENSORS.max_length)
    assert result.gap == TENSORS.max_length


def test_a_text_without_its_middle_is_explained_as_it_is_scored(bundle: Bundle) -> None:
    tensors = TensorsConfig(max_length=7, cut="middle")
    cut = replace(bundle, config=bundle.config.model_copy(update={"tensors": tensors}))
    text = "a lovely lamp , a lovely , lovely lamp . it works"
    result = explain_text(cut, text, torch.device("cpu"))
    assert result.words == ("a", "lovely", "lamp", ",", ".", "it", "works")
    assert (result.left_out, result.gap) == (5, 4)
    expected = Classifier(cut).probabilities([text, "a lovely lamp , . it works"])
    assert result.probability == pytest.approx(expected[0], abs=1e-6)
    assert expected[0] == pytest.approx(expected[1], abs=1e-6)
    shown = render_explanation(result)
    assert shown.index("…") > shown.index("lamp")
    assert "… stands for 5 words that it does not read" in shown


def test_an_explanation_can_be_written_as_json(bundle: Bundle) -> None:
    result = explain_text(bundle, "lovely lamp", torch.device("cpu"))
    content = json.loads(json.dumps(result.to_json()))
    assert content["words"] == ["lovely", "lamp"]
    assert content["forward"]["forget"] == result.forward.forget.tolist()
    assert content["attributions"] == result.attributions.tolist()
    assert abs(content["miss"]) <= TOLERANCE


def test_a_text_without_a_word_is_refused(bundle: Bundle) -> None:
    with pytest.raises(DataError, match="no word"):
        explain_text(bundle, "  ", torch.device("cpu"))


def test_a_missing_captum_is_an_error(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(ModelError, match="explain"):
        explain_text(bundle, "lovely", torch.device("cpu"))


def test_more_points_are_taken_until_the_sum_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    model, ids, lengths = make("max"), torch.tensor([[3, 4, 5, 9]]), torch.tensor([4])
    fine, baseline = attribute(model, ids, lengths)
    monkeypatch.setattr(explanation, "FEWEST_POINTS", 1)
    monkeypatch.setattr(explanation, "MOST_POINTS", 1)
    rough, _ = attribute(model, ids, lengths)
    with torch.no_grad():
        gained = float(model(ids, lengths)) - baseline
    assert abs(float(rough.sum()) - gained) > abs(float(fine.sum()) - gained)
