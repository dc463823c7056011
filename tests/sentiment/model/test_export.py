"""The exported graph gives PyTorch's probabilities, for any batch and length."""

import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pyarrow as pa
import pytest
import torch

from sentiment.errors import ModelError, StorageError
from sentiment.model.bundle import Bundle
from sentiment.model.bundle_files import CONFIG, VOCABULARY, bundle_digest
from sentiment.model.config import ModelConfig
from sentiment.model.export import Probability, export_onnx, write_graph
from sentiment.model.lstm import SentimentLSTM
from sentiment.text.tokenize import tokenize_texts
from sentiment.text.vocabulary import PAD
from tests.support.bundles import Trained
from tests.support.reviews import contents, made_up_reviews

SHAPES = ({"pooling": "last", "layers": 2}, {"pooling": "mean", "bidirectional": False}, {})


def run(path: Path, ids: Any, lengths: Any) -> npt.NDArray[np.float32]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(
        ["probability"], {"ids": np.asarray(ids), "lengths": np.asarray(lengths)}
    )
    return np.asarray(found)


def padded(reviews: list[list[int]]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    lengths = np.array([len(review) for review in reviews])
    ids = np.full((len(reviews), lengths.max()), PAD)
    for row, review in zip(ids, reviews, strict=True):
        row[: len(review)] = review
    return ids, lengths


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_graph_takes_any_batch_and_length(shape: dict[str, Any], tmp_path: Path) -> None:
    torch.manual_seed(2)
    wide = {"buckets": 64, "max_n": 3, "norm_smoothing": 4.0}
    settings = {"embedding_size": 6, "hidden_size": 5, "ngrams": wide} | shape
    model = SentimentLSTM(ModelConfig.model_validate(settings), 40).eval()
    assert model.ngrams is not None
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.7)
        model.ngrams.idf.uniform_(0.0, 2.0)
        model.scale.copy_(torch.tensor([0.8, 1.7]))
    write_graph(model, tmp_path / "model.onnx")
    chance = np.random.default_rng(1)
    for longest in ([1], [5, 2], [2], [33, 1, 12, 12, 7, 2, 20]):
        reviews = [chance.integers(1, 40, length).tolist() for length in longest]
        ids, lengths = padded(reviews)
        with torch.no_grad():
            expected = Probability(model)(torch.from_numpy(ids), torch.from_numpy(lengths)).numpy()
        np.testing.assert_allclose(
            run(tmp_path / "model.onnx", ids, lengths), expected, rtol=0, atol=1e-4
        )


def test_a_linear_models_graph_takes_the_same_inputs(tmp_path: Path) -> None:
    settings = {"lstm": False, "ngrams": {"buckets": 64, "max_n": 3, "norm_smoothing": 4.0}}
    model = SentimentLSTM(ModelConfig.model_validate(settings), 40).eval()
    assert model.ngrams is not None
    with torch.no_grad():
        model.ngrams.weight.normal_(std=2.0)
        model.ngrams.idf.uniform_(0.0, 2.0)
    write_graph(model, tmp_path / "model.onnx")
    for reviews in ([[7]], [[3, 4, 5, 3, 4], [8, 9]]):
        ids, lengths = padded(reviews)
        with torch.no_grad():
            expected = Probability(model)(torch.from_numpy(ids), torch.from_numpy(lengths)).numpy()
        assert expected.std() > 0 or len(reviews) == 1
        np.testing.assert_allclose(
            run(tmp_path / "model.onnx", ids, lengths), expected, rtol=0, atol=1e-6
        )


def compare(bundle: Bundle, path: Path, texts: list[str]) -> float:
    """Return the largest difference of P(positive) between the classifier and the graph."""
    from sentiment import Classifier

    words = tokenize_texts(pa.array(texts), bundle.config.tokenize).to_pylist()
    kept = map(bundle.config.tensors.kept, words)
    ids, lengths = padded([bundle.vocabulary.encode(each).tolist() for each in kept])
    return float(abs(run(path, ids, lengths) - Classifier(bundle).probabilities(texts)).max())


def test_the_export_scores_texts_as_the_classifier_does(trained: Trained, tmp_path: Path) -> None:
    written = export_onnx(trained.bundle, tmp_path / "small.onnx")
    texts = [text for _, text in made_up_reviews(50, seed=31)]
    assert compare(Bundle.load(trained.bundle), written[0], texts) <= 1e-4


def test_vocabulary_settings_and_digests_come_with_it(trained: Trained, tmp_path: Path) -> None:
    written = export_onnx(trained.bundle, tmp_path / "out" / "small.onnx")
    assert sorted(contents(tmp_path / "out")) == sorted(path.name for path in written)
    for name in (CONFIG, VOCABULARY):
        copy = tmp_path / "out" / f"small.{name}"
        assert copy.read_bytes() == (trained.bundle / name).read_bytes()
    metadata = {entry.key: entry.value for entry in onnx.load(written[0]).metadata_props}
    assert metadata["bundle"] == bundle_digest(trained.bundle)
    assert metadata["threshold"] == "0.5"
    words = (trained.bundle / VOCABULARY).read_bytes()
    assert metadata["vocabulary"] == hashlib.sha256(words).hexdigest()
    assert (metadata["format"], metadata["padding"], metadata["max_length"]) == ("1", "right", "40")


def test_a_place_that_cannot_be_written_is_named(trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="is a folder"):
        export_onnx(trained.bundle, tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"file.*cannot be written"):
        export_onnx(trained.bundle, tmp_path / "file" / "model.onnx")


def test_the_same_bundle_gives_the_same_bytes(trained: Trained, tmp_path: Path) -> None:
    first = export_onnx(trained.bundle, tmp_path / "first.onnx")[0].read_bytes()
    assert export_onnx(trained.bundle, tmp_path / "second.onnx")[0].read_bytes() == first


def test_int8_is_smaller_and_close(
    trained: Trained, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    exact = export_onnx(trained.bundle, tmp_path / "exact.onnx")[0]
    small = export_onnx(trained.bundle, tmp_path / "small.onnx", int8=True)[0]
    kinds = {tensor.data_type for tensor in onnx.load(small).graph.initializer}
    assert onnx.TensorProto.INT8 in kinds
    assert kinds != {tensor.data_type for tensor in onnx.load(exact).graph.initializer}
    texts = [text for _, text in made_up_reviews(50, seed=31)]
    assert 0 < compare(Bundle.load(trained.bundle), small, texts) < 0.1
    assert caplog.records == []


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime.quantization"])
def test_a_missing_library_is_said(
    missing: str, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ModelError, match=r"\[onnx\]"):
        export_onnx(trained.bundle, tmp_path / "small.onnx", int8=True)
