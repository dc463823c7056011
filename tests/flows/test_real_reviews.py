"""What generated reviews cannot show: a small model of real ones, from the files to its report.

All of it is skipped unless SENTIMENT_DATA names a folder with real reviews.
"""

import csv
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from flows.config.presets import load_config
from flows.tune import tune
from sentiment import Classifier
from sentiment.model.bundle import Bundle
from sentiment.model.profile import Profile
from sentiment.model.registry import model_in_use
from sentiment.scoring.drift import DriftConfig, drift
from sentiment.scoring.inputs import ScoreConfig
from sentiment.scoring.score_files import score_files
from sentiment.text.tokenize import tokenize_texts
from sentiment.text.vocabulary import UNKNOWN
from tasks.manifest import Manifest
from tasks.registry.champion import promote_by_hand, read_registry, roll_back
from tasks.run.spec import RunSpec
from tasks.store import Store
from tests.support.reviews import Lines, real_lines, write_bz2
from tests.support.runs import TINY, run_plainly

SCORED = 300
# As in the preset balanced, all parts of a model and of its training, each small.
RECIPE = (
    *TINY,
    "tokenize.negations=expand",
    "tensors.cut=middle",
    "train.model.ngrams={max_n: 3, buckets: 4096, norm_smoothing: 4000, ratio_smoothing: 5, "
    "learning_rate: 0.03}",
    "train.sentences=1",
    "train.epochs=2",
)


def texts_of(lines: Lines) -> list[str]:
    return [line.partition(b" ")[2].decode() for line in lines]


@dataclass(frozen=True)
class Real:
    """A finished run, and reviews that it has not seen."""

    spec: RunSpec
    done: dict[str, list[Manifest]]
    training: Lines
    lines: Lines
    classifier: Classifier

    @property
    def store(self) -> Store:
        return self.spec.store

    @property
    def model(self) -> Path:
        return self.store.root / "train" / self.done["train"][0].key

    @property
    def texts(self) -> list[str]:
        return texts_of(self.lines)

    def file(self, stage: str, name: str) -> Path:
        return self.store.root / self.done[stage][0].output(name).path


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Real:
    root = tmp_path_factory.mktemp("real")
    training = real_lines("train", 1_000)
    write_bz2(root / "data" / "train.ft.txt.bz2", training)
    lines = real_lines("test", 400 + SCORED)
    write_bz2(root / "data" / "test.ft.txt.bz2", lines[:400])
    spec = RunSpec("sample", load_config("sample", RECIPE), root / "data", Store(root / "storage"))
    done = run_plainly(spec)
    bundle = spec.store.root / "train" / done["train"][0].key
    return Real(spec, done, training, lines[400:], Classifier.load(bundle))


def test_the_report_tells_of_all_of_them(real: Real) -> None:
    report = json.loads(real.file("report", "metrics.json").read_bytes())
    rows = {split["name"]: split["rows"] for split in report["data"]["splits"]}
    assert rows == {"train": 1_000, "validation": 200, "test": 200}
    assert report["metrics"] == json.loads(real.file("evaluate", "metrics.json").read_bytes())
    assert report["promotion"] == real.done["promote"][0].stats["reason"]
    page = real.file("report", "report.html").read_text(encoding="utf-8")
    assert page.count("<li>") == len(report["mistakes"]) > 0
    assert "It is the first champion." in page


def test_all_branches_of_its_model_have_learnt(real: Real) -> None:
    bundle = Bundle.load(real.model)
    assert bundle.config.train.sentences == 1 and bundle.model.ngrams is not None
    branches = json.loads(real.file("evaluate", "metrics.json").read_bytes())["branches"]
    low = {part["name"]: part["accuracy_interval"][0] for part in branches}
    assert low.keys() == {"lstm", "ngrams", "together"}
    assert low["ngrams"] > 0.55 and low["together"] > 0.55
    assert all(part["factor"] > 0 for part in branches[:2])


def test_its_model_is_the_champion(real: Real) -> None:
    assert model_in_use(real.store.root) == real.model
    champion = read_registry(real.store).champion
    assert champion is not None and champion.measured is not None
    assert champion.measured.accuracy == real.done["evaluate"][0].stats["accuracy"]


def test_a_rollback_brings_it_back(real: Real, tmp_path: Path) -> None:
    store = Store(shutil.copytree(real.store.root, tmp_path / "storage", symlinks=True))
    quick = ("train.epochs=1", "train.sentences=0", "train.max_length=40")
    settings = load_config("sample", [*RECIPE, *quick])
    (other,) = run_plainly(RunSpec("sample", settings, real.spec.data, store), until="train")[
        "train"
    ]
    promote_by_hand(store, f"train/{other.key}", None, who="a test", why="to try it")
    expected = real.classifier.probabilities(real.texts[:40])
    tried = Classifier.load(model_in_use(store.root)).probabilities(real.texts[:40])
    assert abs(tried - expected).max() > 0.01
    roll_back(store, who="a test", why="no good")
    again = Classifier.load(model_in_use(store.root))
    assert again.probabilities(real.texts[:40]).tolist() == expected.tolist()


def test_a_study_of_them_finds_a_preset(real: Real, prefect_server: None, tmp_path: Path) -> None:
    space = {"train.learning_rate": {"low": 0.001, "high": 0.02}}
    preset, out = tmp_path / "tiny.yaml", tmp_path / "best.yaml"
    config = load_config("sample", RECIPE).model_dump(mode="json", exclude_unset=True)
    preset.write_text(yaml.safe_dump({**config, "tune": space}))
    result = tune(
        preset=str(preset),
        data=str(real.store.root.parent / "data"),
        storage=str(real.store.root),
        trials=2,
        out=str(out),
    )
    assert result["trials"] == {"complete": 2, "pruned": 0, "failed": 0}
    found = load_config(str(out)).train.learning_rate
    assert found == result["values"]["train.learning_rate"]
    assert 0.001 <= found <= 0.02
    assert model_in_use(real.store.root) == real.model


@pytest.fixture
def tables(real: Real, tmp_path: Path) -> list[Path]:
    """The same reviews as lines and as tables of each kind."""
    texts = real.texts
    paths = [tmp_path / f"new.{kind}" for kind in ("csv", "jsonl", "parquet")]
    with paths[0].open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["text"], *([text] for text in texts)])
    paths[1].write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    pq.write_table(pa.table({"text": texts}), paths[2])
    return [write_bz2(tmp_path / "new.ft.txt.bz2", real.lines), *paths]


def test_scores_of_every_kind_of_file_are_those_of_predict(
    real: Real, tables: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "scores"
    summary = score_files(tables, out, model=real.model, config=ScoreConfig(chunk_size=70))
    assert (summary["rows"], summary["bad_rows"]) == (SCORED * len(tables), 0)
    assert summary["metrics"]["rows"] == SCORED  # the lines have labels
    assert summary["drift"] == drift_of(real, real.texts)  # four times the same reviews
    expected = real.classifier.probabilities(real.texts)
    for table in tables:
        rows: list[dict[str, Any]] = pq.read_table(out / table.name).to_pylist()
        found = [row["probability"] for row in rows]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def drift_of(real: Real, texts: list[str], expected: Profile | None = None) -> dict[str, Any]:
    expected = expected or Bundle.load(real.model).profile
    assert expected is not None
    return drift(expected, profile_of(real, texts), DriftConfig())


def profile_of(real: Real, texts: list[str]) -> Profile:
    scores = real.classifier.score(texts)
    return Profile.of(scores.probabilities >= 0.5, scores.words, scores.unknown)


def test_drift_from_the_training_reviews_is_told_in_true_figures(real: Real) -> None:
    told = drift_of(real, real.texts)
    positive = sum(line.startswith(b"__label__2") for line in real.training)
    assert told["label_share"]["training"] == positive / len(real.training)
    found = np.mean(real.classifier.probabilities(real.texts) >= 0.5)
    assert told["label_share"]["scored"] == pytest.approx(found)
    known, new = (told["unknown_share"][side] for side in ("training", "scored"))
    assert 0.02 < known < new < 0.2  # words that came once in training are unknown, too
    for side in ("training", "scored"):
        short, middle, long = told["length_psi"][side]
        assert 10 < short < 40 < middle < 120 < long < 300
    assert told["length_psi"]["distance"] < 0.2


def test_drift_is_small_between_halves_and_large_where_reviews_were_changed(real: Real) -> None:
    texts = texts_of(real.training)
    half = profile_of(real, texts[::2])
    same = drift_of(real, texts[1::2], half)
    assert same["warnings"] == []
    chances = real.classifier.probabilities(texts)
    changed = {
        "label_share": [t for t, chance in zip(texts, chances, strict=True) if chance >= 0.5],
        "length_psi": [" ".join(text.split()[:20]) for text in texts],
        "unknown_share": [text.translate(str.maketrans("eai", "aie")) for text in texts],
    }
    for measure, others in changed.items():
        told = drift_of(real, others, half)[measure]
        assert told["beyond"] and told["distance"] > 5 * same[measure]["distance"]


def test_an_interrupted_score_resumes_where_it_was(
    real: Real, tables: list[Path], tmp_path: Path
) -> None:
    source, config = tables[0], ScoreConfig(chunk_size=70)
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"

    def interrupt(done: int, *_: Any, **__: Any) -> None:
        if done > 140:  # in the third part
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_files([source], stopped, model=real.model, config=config, progress=interrupt)
    kept = {path: path.stat().st_mtime_ns for path in (stopped / source.name).glob("*.parquet")}
    assert [path.name for path in sorted(kept)] == ["part-00000.parquet", "part-00001.parquet"]
    assert not (stopped / "_scores.json").exists()
    summary = score_files([source], stopped, model=real.model, config=config)
    assert summary["rows"] == summary["metrics"]["rows"] == SCORED
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    score_files([source], whole, model=real.model, config=config)
    parts = sorted((whole / source.name).glob("part-*"))
    assert len(parts) == 5
    for part in parts:
        assert (stopped / source.name / part.name).read_bytes() == part.read_bytes()


def test_a_review_is_scored_alone_as_among_others(real: Real) -> None:
    among = real.classifier.probabilities(real.texts)
    alone = [real.classifier.probabilities([text])[0] for text in real.texts[:40]]
    np.testing.assert_allclose(alone, among[:40], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "int8, most, disagreeing", [(False, 1e-4, 0), (True, 0.02, 9)], ids=["float32", "int8"]
)
def test_onnx_scores_them_as_pytorch_does(
    real: Real, tmp_path: Path, int8: bool, most: float, disagreeing: int
) -> None:
    """In padded batches of mixed lengths; with 8 bits at most 3 % of the labels differ."""
    onnxruntime = pytest.importorskip("onnxruntime")
    from sentiment.model.export import export_onnx

    bundle = Bundle.load(real.model)
    encoded = [
        bundle.vocabulary.encode(bundle.config.tensors.kept(words))
        for words in tokenize_texts(pa.array(real.texts), bundle.config.tokenize).to_pylist()
    ]
    assert np.mean(np.concatenate(encoded) == UNKNOWN) < 0.15
    (path, *_) = export_onnx(real.model, tmp_path / "model.onnx", int8=int8)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    chances = []
    for first in range(0, SCORED, 50):
        batch = encoded[first : first + 50]
        lengths = np.array([len(ids) for ids in batch], np.int64)
        assert lengths.min() < 40 < 120 < lengths.max()
        ids = np.zeros((len(batch), lengths.max()), np.int64)
        for row, review in zip(ids, batch, strict=True):
            row[: len(review)] = review
        chances.append(session.run(None, {"ids": ids, "lengths": lengths})[0])
    found = np.concatenate(chances)
    expected = real.classifier.probabilities(real.texts)
    np.testing.assert_allclose(found, expected, rtol=0, atol=most)
    labels = found >= 0.5
    assert np.sum(labels != (expected >= 0.5)) <= disagreeing
    positive = np.array([line.startswith(b"__label__2") for line in real.lines])
    lost = np.mean((expected >= 0.5) == positive) - np.mean(labels == positive)
    assert lost <= 0.02


def test_attributions_add_up(real: Real) -> None:
    for text in real.texts[:5]:
        told = real.classifier.explain(text)
        assert told.attributions.sum() == pytest.approx(told.logit - told.baseline, abs=0.01)
        assert told.probability == pytest.approx(real.classifier.probabilities([text])[0], abs=1e-5)
