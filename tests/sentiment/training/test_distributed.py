"""Two processes learn what one learns, resume after a kill, and never wait for a dead one."""

import importlib
import multiprocessing
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from benchmarks.support.machine import in_fresh_process
from sentiment.errors import ConfigError, TrainingError
from sentiment.model.config import NgramsConfig, TrainConfig
from sentiment.progress import Progress, silent
from sentiment.training.checkpoints import Checkpoint
from sentiment.training.distributed import ProcessGroup, process_group
from sentiment.training.out_of_memory import saying_what_to_lower
from tests.support.bundles import MODEL, TRAIN, Trained, train_again
from tests.support.reviews import contents


def train(trained: Trained, folder: Path, progress: Progress = silent, **changes: Any) -> Path:
    train_again(trained, folder / "out", folder / "checkpoints", progress, **changes)
    return folder / "out"


def test_two_processes_take_the_steps_of_one(trained: Trained, tmp_path: Path) -> None:
    """240 reviews in batches of 239: the second has one row, so rank 1 has none."""
    model = MODEL.model_copy(update={"ngrams": NgramsConfig()})
    changes = {"model": model, "batch_size": 239, "epochs": 4}
    one = train(trained, tmp_path / "1", **changes)
    two = train(trained, tmp_path / "2", processes=2, **changes)
    expected, found = (load_file(out / "model.safetensors") for out in (one, two))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    start = train(trained, tmp_path / "0", **{**changes, "learning_rate": 1e-9})
    assert not torch.allclose(
        load_file(start / "model.safetensors")["head.weight"], expected["head.weight"], atol=1e-2
    )


def test_a_dead_process_ends_the_run_which_resumes_later(trained: Trained, tmp_path: Path) -> None:
    model = MODEL.model_copy(update={"word_dropout": 0.1, "head_dropout": 0.3})
    changes = {"model": model, "epochs": 1, "processes": 2, "checkpoint_every": 4}
    expected = contents(train(trained, tmp_path / "through", **changes))

    def kill(done: int, total: int | None = None, **figures: float) -> None:
        if done >= 6 * TRAIN.batch_size:
            for child in multiprocessing.active_children():
                os.kill(child.pid or 0, signal.SIGKILL)

    with pytest.raises(TrainingError, match=r"process 1 of 2 ended with exit code -9.*000004\."):
        train(trained, tmp_path / "killed", kill, **changes)
    assert multiprocessing.active_children() == []
    assert contents(train(trained, tmp_path / "killed", **changes)) == expected


def fail(group: ProcessGroup, error: Exception) -> None:
    raise error


@pytest.mark.parametrize("error", [TrainingError("no reviews"), OSError("no reviews")])
def test_what_went_wrong_in_another_process_is_told(tmp_path: Path, error: Exception) -> None:
    with (
        pytest.raises(TrainingError, match=r"process 1 of 2 ended .*: no reviews"),
        process_group(2, torch.device("cpu"), tmp_path, fail, error) as group,
    ):
        group.wait()


STATE = {"step": 7, "history": [{"loss": 0.1 + 0.2, "accuracy": None}], "best": None}
TENSORS = {
    "bytes": torch.arange(9, dtype=torch.uint8),
    "weights": torch.arange(12.0).reshape(3, 4).T,
    "step": torch.tensor(3.0),
    "none": torch.empty(0, 5, dtype=torch.int64),
}


def learn(group: ProcessGroup) -> bool:
    """Return whether every process learns what rank 0 alone knows."""
    leads = group.rank == 0
    wrong = group.hand_out(None) is not None
    found = group.hand_out(Checkpoint(TENSORS, STATE) if leads else None)
    assert found is not None
    wrong |= found.state != STATE or list(found.tensors) != list(TENSORS)
    for name in TENSORS:
        wrong |= not torch.equal(found.tensors[name], TENSORS[name])
        wrong |= found.tensors[name].dtype != TENSORS[name].dtype
    wrong |= group.tell({"a": [1, "ä"]} if leads else "other") != {"a": [1, "ä"]}
    wrong |= not group.any(not leads) or group.any(False)
    return not group.any(wrong)


def test_all_learn_what_rank_0_knows(tmp_path: Path) -> None:
    """The others may be on machines that do not share its disk."""
    with process_group(2, torch.device("cpu"), tmp_path, learn) as group:
        assert learn(group)
    alone = ProcessGroup()
    checkpoint = Checkpoint(TENSORS, STATE)
    assert alone.hand_out(checkpoint) is checkpoint
    assert (alone.tell("a"), alone.any(True), alone.any(False)) == ("a", True, False)


def threads_after_a_group(out: Path) -> tuple[list[str], list[str]]:
    """Return the names of this process's threads in a group, and after it."""
    with process_group(2, torch.device("cpu"), out, learn) as group:
        assert learn(group)
        importlib.import_module("torch._dynamo")  # as an optimizer does

        inside = thread_names()
    return inside, thread_names()


def thread_names() -> list[str]:
    return [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]


@pytest.mark.skipif(sys.platform != "linux", reason="reads the names of threads from /proc")
def test_no_thread_of_a_group_outlives_it(tmp_path: Path) -> None:
    """One that is left would now and then abort the process at its end."""
    inside, after = in_fresh_process(threads_after_a_group, tmp_path)
    assert [name for name in inside if "gloo" in name]
    assert not [name for name in after if "gloo" in name]


def run_out(group: ProcessGroup) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def test_another_process_out_of_memory_says_what_to_lower(tmp_path: Path) -> None:
    with (
        pytest.raises(TrainingError, match=r"ran out of GPU memory .* Lower train\.batch_size"),
        saying_what_to_lower(TrainConfig(), 9),
        process_group(2, torch.device("cpu"), tmp_path, run_out) as group,
    ):
        group.wait()


def test_each_needs_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with (
        pytest.raises(ConfigError, match=r"processes is 2, but there are 1 GPUs"),
        process_group(2, torch.device("cuda"), tmp_path, fail),
    ):
        pass


def test_shares_join_to_the_batch() -> None:
    places = np.arange(7)
    shares = [ProcessGroup(rank, 3).shard(places) for rank in range(3)]
    assert sorted(place for own, _ in shares for place in own) == places.tolist()
    assert sum(part for _, part in shares) == pytest.approx(1)
    assert [ProcessGroup(rank, 3).shard(places[:2])[1] for rank in range(3)] == [0.5, 0.5, 0.0]


def test_random_numbers_follow_seed_step_and_rank() -> None:
    def drawn(rank: int, seed: int, step: int) -> float:
        with torch.random.fork_rng(devices=[]):
            ProcessGroup(rank, 2).seed(seed, step)
            return float(torch.rand(()))

    assert drawn(0, 1, 5) == drawn(0, 1, 5)
    assert len({drawn(0, 1, 5), drawn(1, 1, 5), drawn(0, 2, 5), drawn(0, 1, 6)}) == 4
