"""What all tests share: a home for Prefect of their own, small reviews, a run without Prefect."""

import bz2
import os
import tempfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

# Before anything loads Prefect: tests leave the user's database and settings alone.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
_home = tempfile.TemporaryDirectory(prefix="prefect-home-")
os.environ |= {
    "PREFECT_HOME": _home.name,
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
}
os.environ.pop("PREFECT_API_URL", None)
os.environ.pop("SENTIMENT_STORAGE", None)
os.environ.pop("SENTIMENT_WEBHOOK", None)

from flows.config.presets import PipelineConfig, load_config  # noqa: E402
from flows.steps import Job, walk  # noqa: E402
from sentiment.data.archives import read_lines  # noqa: E402
from sentiment.model.bundle import BundleConfig, save_bundle  # noqa: E402
from sentiment.model.config import TrainConfig  # noqa: E402
from sentiment.model.lstm import SentimentLSTM  # noqa: E402
from sentiment.text.cleaning import TokenizeConfig  # noqa: E402
from sentiment.text.tensors import TensorsConfig  # noqa: E402
from tasks.manifest import Manifest  # noqa: E402
from tasks.registry.champion import settle  # noqa: E402
from tasks.store.store import Store  # noqa: E402

TINY = (
    "sample.train=300",
    "sample.test=120",
    "ingest.shard_size=100",
    "train.model.embedding_size=8",
    "train.model.hidden_size=8",
    "train.epochs=1",
    "train.max_loss=null",
    "promote.min_accuracy=0",
)

Lines = list[bytes]


def good_lines(count: int, start: int = 0) -> Lines:
    """Return valid lines of both classes, all different, each with a word of its own."""
    words = ("awful", "great")
    return [
        f"__label__{n % 2 + 1} Number {n}: a {words[n % 2]} thing, called {letters(n)}".encode()
        for n in range(start, start + count)
    ]


def letters(number: int) -> str:
    """Spell a number in letters only, which cleaning leaves alone."""
    return "".join(chr(ord("k") + int(digit)) for digit in str(number))


def real_lines(split: str, count: int) -> Lines:
    """Return lines of real reviews (split: train or test); without any the test is skipped."""
    folder = os.environ.get("SENTIMENT_DATA")
    files = sorted(Path(folder).glob(f"*{split}*.bz2")) if folder else []
    if not files:
        pytest.skip("SENTIMENT_DATA names no folder with real reviews (*.bz2)")
    return list(islice(read_lines(files[0]), count))


def write_bz2(path: Path, lines: Lines) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bz2.compress(b"".join(line + b"\n" for line in lines)))
    return path


def write_small_data(folder: Path) -> Path:
    """Write 60 training and 20 test reviews."""
    write_bz2(folder / "train.ft.txt.bz2", good_lines(60))
    write_bz2(folder / "test.ft.txt.bz2", good_lines(20, start=100))
    return folder


def write_random_bundle(folder: Path, **model: Any) -> Path:
    """Write a bundle of random weights that knows a few words; ``model`` are its settings."""
    vocabulary = folder / "words.parquet"
    words = ["_PAD", "_UNK", "a", "lovely", "lamp", ",", "awful"]
    pq.write_table(pa.table({"word": words, "count": [1] * len(words)}), vocabulary)
    settings = {"embedding_size": 6, "hidden_size": 5, "ngrams": {"buckets": 64, "prior": 4.0}}
    recipe = TrainConfig.model_validate({"model": settings | model})
    torch.manual_seed(1)
    weights = SentimentLSTM(recipe.model, len(words))
    with torch.no_grad():
        for parameter in weights.parameters():
            parameter.normal_(std=0.5)
    config = BundleConfig(
        tokenize=TokenizeConfig(), tensors=TensorsConfig(max_length=40), train=recipe
    )
    save_bundle(folder, config, vocabulary, weights)
    vocabulary.unlink()
    return folder


def run_plainly(job: Job, until: str | None = None) -> dict[str, list[Manifest]]:
    """Run the pipeline's stages one after the other in this process, without Prefect."""
    done: dict[str, list[Manifest]] = {}
    way = walk(job)
    stage, requests = next(way)
    while True:
        done[stage.name] = [job.store.build(request).manifest for request in requests]
        settled = stage.name != "promote" or settle(
            job.store, done["promote"][0], done["train"][0], "a run"
        )
        if settled and stage.name == until:
            return done
        try:
            stage, requests = way.send(done[stage.name] if settled else [])
        except StopIteration:
            return done


@pytest.fixture(scope="session")
def tiny_config() -> PipelineConfig:
    return load_config("sample", TINY)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with 60 training and 20 test reviews."""
    return write_small_data(tmp_path / "data")


@pytest.fixture
def make_job(tmp_path: Path) -> Callable[..., Job]:
    """Return a function that makes a job on a storage folder of its own."""

    def make(
        data: Path | None, *overrides: str, storage: Path | None = None, preset: str = "sample"
    ) -> Job:
        config = load_config(preset, [*TINY, *overrides])
        return Job(preset, config, data, Store(storage or tmp_path / "storage"))

    return make


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """A temporary Prefect server for the tests that run flows in this process."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield
