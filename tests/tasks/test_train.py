"""What is in the key of the stage ``train``."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sentiment.model.config import TrainConfig
from tasks import train
from tasks.manifest import Artifact
from tasks.run.config import PipelineConfig
from tasks.run.spec import RunSpec
from tasks.stage import Request
from tasks.store import Store


def request(storage: Path, vectors: Path | None) -> Request:
    words = Artifact("vocabulary.parquet", "vocabulary.parquet", "0" * 64, 1, 1)
    vocabulary: Any = SimpleNamespace(output=lambda name: words)
    config = PipelineConfig(train=TrainConfig(vectors=str(vectors) if vectors else None))
    spec = RunSpec("p", config, None, Store(storage))
    (only,) = train.requests(spec, {"ingest": [], "vocabulary": [vocabulary], "tensors": []})
    return only


def test_the_content_of_word_vectors_counts_and_not_their_place(tmp_path: Path) -> None:
    here, there = tmp_path / "here.txt", tmp_path / "there.txt"
    here.write_text("good 1 2\n")
    there.write_text("good 1 2\n")
    first = request(tmp_path, here)
    assert request(tmp_path, there).key == first.key
    assert request(tmp_path, None).key != first.key
    there.write_text("good 1 3.5\n")
    assert request(tmp_path, there).key != first.key


def test_the_stage_is_given_the_files(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text("good 1 2\n")
    assert request(tmp_path, path).arguments(tmp_path / "storage")["vectors"] == [path]
    assert request(tmp_path, None).arguments(tmp_path / "storage")["vectors"] == []
