"""The preset ``linear`` from review files to a report, and what is done with its model."""

from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow.parquet as pq
import pytest

from flows.config.presets import load_config
from sentiment import Classifier
from sentiment.errors import ConfigError
from sentiment.model.export import export_onnx
from tasks.run.spec import RunSpec
from tasks.store import Store
from tests.support.runs import run_plainly


def test_the_model_is_promoted_reported_and_used(data: Path, tmp_path: Path) -> None:
    gates = ("train.max_loss=null", "promote.min_accuracy=0")
    spec = RunSpec("linear", load_config("linear", gates), data, Store(tmp_path / "storage"))
    done = run_plainly(spec)
    (trained,), (reported,) = done["train"], done["report"]
    bundle = (spec.store.root / trained.output("model.safetensors").path).parent
    report = spec.store.root / reported.output("report.html").path
    assert trained.stats["parameters"] < 1.2 * 2**20  # no embedding
    assert "What each branch contributes" not in report.read_text(encoding="utf-8")
    card = report.with_name("README.md").read_text(encoding="utf-8")
    assert "A linear model over n-grams that predicts" in card

    classifier = Classifier.load(bundle)
    text = "not a lovely lamp"
    explanation = classifier.explain(text)
    assert explanation.probability == pytest.approx(classifier.probabilities([text])[0], abs=1e-6)
    assert explanation.is_complete

    export_onnx(bundle, tmp_path / "model.onnx")
    words = pq.read_table(bundle / "vocabulary.parquet")["word"].to_pylist()
    ids = np.array([[words.index(word) if word in words else 1 for word in explanation.words]])
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (exported,) = session.run(None, {"ids": ids, "lengths": np.array([ids.shape[1]])})
    assert exported[0] == pytest.approx(explanation.probability, abs=1e-5)


def test_an_lstms_setting_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"train\.model: hidden_size: only for an LSTM"):
        load_config("linear", ["train.model.hidden_size=64"])
    with pytest.raises(ConfigError, match=r"train: sentences: only for an LSTM"):
        load_config("linear", ["train.sentences=3"])
