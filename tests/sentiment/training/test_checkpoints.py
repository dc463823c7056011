"""Checkpoints come back, and training that was stopped ends as if it had not been."""

import errno
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sentiment.errors import StorageError, TrainingError
from sentiment.model.config import TrainConfig
from sentiment.training import trainer
from sentiment.training.checkpoints import Checkpoints
from sentiment.training.step import training_step
from sentiment.training.train import train_model
from tests.support.bundles import TENSORS, TOKENIZE, TRAIN, Trained
from tests.support.reviews import contents

STEPS = 45  # of the training below: 3 epochs of 240 reviews, 16 in a batch


def test_the_newest_comes_back_and_old_ones_go(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    assert checkpoints.load() is None
    for step in (5, 10, 100):
        checkpoints.save(step, {"a": torch.full((3,), float(step))}, {"step": step, "best": None})
    loaded = checkpoints.load()
    assert loaded is not None
    assert loaded.state == {"step": 100, "best": None}
    assert loaded.tensors["a"].tolist() == [100.0] * 3
    assert len(list(tmp_path.iterdir())) == 2


def cut(content: bytes) -> bytes:
    return content[:-4]


def flip_a_weight(content: bytes) -> bytes:
    return content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]


def raise_the_step(content: bytes) -> bytes:
    return content.replace(rb"{\"step\": 2}", rb"{\"step\": 7}")


@pytest.mark.parametrize("damage", [bytes.upper, cut, flip_a_weight, raise_the_step, lambda _: b""])
def test_a_damaged_one_gives_way_to_the_one_before(
    tmp_path: Path, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints = Checkpoints(tmp_path, keep=3)
    for step in (1, 2):
        checkpoints.save(step, {"a": torch.ones(9)}, {"step": step})
    newest = checkpoints.newest()
    assert newest is not None
    content = newest.read_bytes()
    assert damage(content) != content
    newest.write_bytes(damage(content))
    loaded = checkpoints.load()
    assert loaded is not None and loaded.state == {"step": 1}
    assert not newest.exists()
    assert f"{newest.name} cannot be used (its content is not what" in caplog.text


def test_one_of_another_training_gives_way_to_the_one_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mine, other = Checkpoints(tmp_path / "mine", keep=3), Checkpoints(tmp_path / "other", keep=3)
    mine.save(1, {"a": torch.ones(9)}, {"step": 1})
    other.save(2, {"a": torch.zeros(9)}, {"step": 2})
    foreign = other.newest()
    assert foreign is not None
    shutil.copy(foreign, tmp_path / "mine")
    loaded = mine.load()
    assert loaded is not None and loaded.state == {"step": 1}
    assert "it belongs to other" in caplog.text


def test_one_that_the_system_cannot_read_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(tmp_path, keep=3)
    for step in (1, 2):
        checkpoints.save(step, {"a": torch.ones(9)}, {"step": step})

    def broken(path: Path, framework: str) -> None:
        raise OSError(errno.EIO, "Input/output error", str(path))

    with monkeypatch.context() as patch:
        patch.setattr("sentiment.training.checkpoints.safe_open", broken)
        with pytest.raises(
            StorageError, match=r"step-0*2\.\w{16}\.safetensors.*Input/output"
        ) as raised:
            checkpoints.load()
    assert isinstance(raised.value.__cause__, OSError)  # for those who may try again
    loaded = checkpoints.load()
    assert loaded is not None and loaded.state == {"step": 2}


def test_nothing_half_written_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(tensors: Any, path: Path, metadata: Any) -> None:
        path.write_bytes(b"half")
        raise OSError("full")

    monkeypatch.setattr("sentiment.training.checkpoints.save_file", full)
    with pytest.raises(OSError, match="full"):
        Checkpoints(tmp_path, keep=1).save(1, {"a": torch.ones(1)}, {})
    assert list(tmp_path.iterdir()) == []


def test_what_a_kill_left_of_one_goes_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[Path] = []

    def killed(tensors: Any, path: Path, metadata: Any) -> None:
        left.append(path)
        raise KeyboardInterrupt

    checkpoints = Checkpoints(tmp_path, keep=1)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("sentiment.training.checkpoints.save_file", killed)
        checkpoints.save(1, {}, {})
    left[0].write_bytes(b"half")
    assert checkpoints.load() is None
    checkpoints.save(2, {"a": torch.ones(1)}, {"step": 2})
    assert list(tmp_path.iterdir()) == [checkpoints.newest()]


class Crash(Exception):
    """Stands for a kill at a step."""


def train(trained: Trained, folder: Path, crash_at: int | None = None, **changes: Any) -> Path:
    """Train as ``stats_of`` does and return ``out``."""
    stats_of(trained, folder, crash_at, **changes)
    return folder / "out"


def stats_of(
    trained: Trained, folder: Path, crash_at: int | None = None, **changes: Any
) -> dict[str, Any]:
    """Train with checkpoints beside ``out``; raise Crash when a step is reached."""
    out = folder / "out"
    out.mkdir(parents=True, exist_ok=True)
    settings = {**TRAIN.model_dump(), "epochs": 3, "log_every": 4, "checkpoint_every": 7, **changes}

    def progress(done: int, total: int | None = None, **figures: float) -> None:
        if crash_at is not None and done >= crash_at * TRAIN.batch_size:
            raise Crash

    return train_model(
        trained.train_tensors,
        trained.validation_tensors,
        trained.vocabulary,
        train=TrainConfig(**settings),
        tensors=TENSORS,
        tokenize=TOKENIZE,
        out=out,
        checkpoints=folder / "checkpoints",
        progress=progress,
    )


CHANGES: list[dict[str, Any]] = [
    {},
    {"optimizer": "adam", "validate_every": 5, "schedule": "constant"},
    {
        "model": {
            **TRAIN.model.model_dump(),
            "layers": 2,
            "word_dropout": 0.1,
            "embedding_dropout": 0.2,
            "layer_dropout": 0.3,
            "head_dropout": 0.4,
        }
    },
    {
        "model": {
            **TRAIN.model.model_dump(),
            "ngrams": {"max_n": 3, "buckets": 256, "norm_smoothing": 4.0},
            "word_dropout": 0.1,
        },
        "sentences": 2,
    },
    {
        "model": {"lstm": False, "ngrams": {"buckets": 256, "norm_smoothing": 4.0}},
        "learning_rate": TrainConfig().learning_rate,
    },
]


@pytest.mark.parametrize(
    "changes", CHANGES, ids=["plain", "adam", "dropouts", "ngrams, sentences", "linear"]
)
def test_stopped_at_random_steps_it_ends_with_the_same_bytes(
    trained: Trained, tmp_path: Path, changes: dict[str, Any]
) -> None:
    expected = contents(train(trained, tmp_path / "through", **changes))
    rng = random.Random(len(changes))
    for number in range(4):
        folder = tmp_path / str(number)
        for step in sorted(rng.sample(range(1, STEPS), 3)):
            with pytest.raises(Crash):
                train(trained, folder, crash_at=step, **changes)
        assert contents(train(trained, folder, **changes)) == expected


def test_steps_before_the_checkpoint_are_not_done_again(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Crash):
        train(trained, tmp_path, crash_at=30)
    steps: list[int] = []
    step = training_step

    def counted(*arguments: Any, **named: Any) -> Any:
        steps.append(1)
        return step(*arguments, **named)

    monkeypatch.setattr(trainer, "training_step", counted)
    train(trained, tmp_path)
    assert len(steps) == STEPS - 28  # the last checkpoint before step 30


def test_the_seconds_before_a_stop_count(trained: Trained, tmp_path: Path) -> None:
    before = []
    for crash_at in (20, 40):
        with pytest.raises(Crash):
            train(trained, tmp_path, crash_at=crash_at)
        last = Checkpoints(tmp_path / "checkpoints", keep=1).load()
        assert last is not None
        before.append(last.state["seconds"])
    assert 0 < before[0] < before[1] == stats_of(trained, tmp_path)["seconds_before"]


def test_how_often_it_is_saved_changes_no_byte(trained: Trained, tmp_path: Path) -> None:
    one = train(trained, tmp_path / "1", checkpoint_every=1, keep_checkpoints=1)
    other = train(trained, tmp_path / "2", checkpoint_every=10_000)
    assert contents(one) == contents(other)


def test_a_ruined_loss_names_the_last_checkpoint(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = training_step

    def ruined(*arguments: Any, **named: Any) -> Any:
        return step(*arguments, **named) * float("nan")

    with pytest.raises(Crash):
        train(trained, tmp_path, crash_at=15)
    monkeypatch.setattr(trainer, "training_step", ruined)
    with pytest.raises(TrainingError, match=r"loss is nan at step 15 .*step-000000000014"):
        train(trained, tmp_path)
