"""No stage takes memory for all reviews: three times as many shards take hardly more.

Each stage has a process of its own. It does a few shards twice first, so that what is allocated
once is there already. The further ones may then add half of their own size at the most.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.support.machine import in_fresh_process
from sentiment.data.duplicates import count_duplicates
from sentiment.data.ingest import IngestConfig, ingest_file
from sentiment.evaluation.baseline import NGRAMS, train_baseline
from sentiment.evaluation.config import EvaluateConfig
from sentiment.evaluation.evaluate import evaluate_model
from sentiment.model.config import ModelConfig, TrainConfig
from sentiment.text.cleaning import TokenizeConfig
from sentiment.text.tensors import TensorsConfig, encode_shard
from sentiment.text.tokenize import COUNTS, tokenize_shard
from sentiment.text.vocabulary import VocabularyConfig, build_vocabulary
from sentiment.training.train import train_model
from tests.support.bundles import write_random_bundle
from tests.support.reviews import as_line, write_reviews

FEW, MANY = 4, 12  # shards
ROWS, LENGTH = 2_000, 400  # of a shard: reviews, and tokens of each
WORDS = ("a", "lovely", "lamp", ",", "awful", "kettle")  # all but one known
BATCH = 64  # reviews
COUNTED = 200_000  # different words in a shard's counts
BESIDE_NOISE = 5  # times as many shards where the noise of allocator and threads is not small
TENSORS = TensorsConfig(max_length=LENGTH)
IDS = 4 * ROWS * LENGTH  # bytes of a shard
Stage = Callable[[Path, int, Path], object]


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with each stage's input: one shard, which is read again and again."""
    folder = tmp_path_factory.mktemp("shard")
    chance = random.Random(1)
    reviews = [(row, row % 2, " ".join(chance.choices(WORDS, k=LENGTH))) for row in range(ROWS)]
    for times in (FEW, MANY):
        with (folder / f"{times}.ft.txt").open("wb") as lines:
            for _ in range(times * BESIDE_NOISE):
                lines.writelines(as_line(label, text) + b"\n" for _, label, text in reviews)
    write_reviews(folder / "reviews.parquet", reviews)
    (folder / "bundle").mkdir()
    write_random_bundle(folder / "bundle")
    tokenize_shard(folder / "reviews.parquet", tokenize=TokenizeConfig(), out=folder)
    vocabulary = folder / "bundle" / "vocabulary.parquet"
    encode_shard(folder / "tokens.parquet", vocabulary, tensors=TENSORS, out=folder)
    words = [f"word{number}" for number in range(COUNTED)]
    columns = [words, [2] * COUNTED, range(COUNTED)]
    pq.write_table(pa.table(columns, schema=COUNTS), folder / "words.parquet")
    return folder


def ingest(shard: Path, times: int, out: Path) -> None:
    config = IngestConfig(shard_size=ROWS)
    ingest_file(shard / f"{times}.ft.txt", split="train", limit=None, ingest=config, out=out)


def tokenize(shard: Path, times: int, out: Path) -> None:
    for _ in range(times):
        tokenize_shard(shard / "reviews.parquet", tokenize=TokenizeConfig(), out=out)


def vocabulary(shard: Path, times: int, out: Path) -> None:
    counts = [shard / "words.parquet"] * times * BESIDE_NOISE
    build_vocabulary(counts, vocabulary=VocabularyConfig(), out=out)


def tensors(shard: Path, times: int, out: Path) -> None:
    known = shard / "bundle" / "vocabulary.parquet"
    for _ in range(times):
        encode_shard(shard / "tokens.parquet", known, tensors=TENSORS, out=out)


def train(shard: Path, times: int, out: Path) -> None:
    model = ModelConfig(embedding_size=4, hidden_size=4)
    config = TrainConfig(model=model, epochs=1, batch_size=BATCH, max_length=8, device="cpu")
    train_model(
        [shard / "tensors.parquet"] * times,
        [shard / "tensors.parquet"],
        shard / "bundle" / "vocabulary.parquet",
        train=config,
        tensors=TENSORS,
        tokenize=TokenizeConfig(),
        out=out,
        checkpoints=out / "checkpoints",
    )


def evaluate(shard: Path, times: int, out: Path) -> None:
    bundle = sorted((shard / "bundle").iterdir())
    names = ("tensors.parquet", "tokens.parquet", "reviews.parquet")
    inputs = [[shard / name] * times * BESIDE_NOISE for name in names]
    evaluate_model(bundle, *inputs, evaluate=EvaluateConfig(), out=out)


def baseline(shard: Path, times: int, out: Path) -> None:
    reviews = [shard / "tensors.parquet"] * times
    ngrams = NGRAMS.model_copy(update={"buckets": 2**10})  # tables smaller than a shard
    small = {"EPOCHS": 1, "LEAST_STEPS": 1, "STEP_SIZE": BATCH, "BATCH_SIZE": BATCH}
    with patch.multiple("sentiment.evaluation.baseline", NGRAMS=ngrams, **small):
        train_baseline(reviews, reviews, shard / "bundle" / "vocabulary.parquet", out=out)


def duplicates(shard: Path, times: int, out: Path) -> None:
    hashes = [shard / "hashes.parquet"] * times * 100  # of which there are few
    count_duplicates(hashes, hashes, hashes, out=out)


def growth(stage: Stage, shard: Path, out: Path) -> int:
    """Return by how many bytes the most memory of this process grows when many shards follow."""
    most = []
    for number, times in enumerate((FEW, FEW, MANY)):
        (out / str(number)).mkdir()
        with watched() as seen:
            stage(shard, times, out / str(number))
        most.append(max(seen))
    return most[2] - max(most[:2])


@contextmanager
def watched() -> Iterator[list[int]]:
    """Collect this process's memory in bytes every few milliseconds, without pages of files.

    Those of a mapped file are the system's: it maps many that nobody asked for, and takes them back
    when it needs them.
    """
    seen = [anonymous()]
    over = Event()

    def watch() -> None:
        while not over.wait(0.003):
            seen.append(anonymous())

    thread = Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def anonymous() -> int:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("RssAnon:")[2].split()[0]) << 10


@pytest.mark.parametrize(
    ("stage", "size"),
    [
        (ingest, BESIDE_NOISE * 4 * ROWS * LENGTH),  # less than the texts have
        (tokenize, 4 * ROWS * LENGTH),
        (vocabulary, BESIDE_NOISE * 24 * COUNTED),
        (tensors, IDS),
        (train, IDS),
        (evaluate, BESIDE_NOISE * IDS),
        (baseline, 2 * IDS),
        (duplicates, 100 * 3 * 24 * ROWS),  # so half is 12 bytes a review
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_further_shards_take_half_of_their_size_at_most(
    stage: Stage, size: int, shard: Path, tmp_path: Path
) -> None:
    """``size`` is that of a further shard, in bytes."""
    grown = in_fresh_process(growth, stage, shard, tmp_path)
    assert grown < (MANY - FEW) * size / 2
