"""Running out of memory names the settings to lower."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sentiment.errors import TrainingError
from sentiment.model.config import ModelConfig, TrainConfig
from sentiment.training import trainer
from sentiment.training.out_of_memory import saying_what_to_lower
from tests.support.bundles import Trained, train_again


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), "ran out of GPU memory"),
        (RuntimeError("CUDA error: out of memory"), "ran out of GPU memory"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), "ran out of GPU memory"),
        (MemoryError(), "ran out of memory"),
    ],
)
def test_what_to_lower_is_named(
    trained: Trained,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    words: str,
) -> None:
    def failing(*_: Any) -> Tensor:
        raise error

    monkeypatch.setattr(trainer, "training_step", failing)
    settings = r"train\.batch_size 16 and reviews of up to 40 tokens.*train\.max_length"
    with pytest.raises(TrainingError, match=f"{words} with {settings}"):
        train_again(trained, tmp_path)


def test_the_cpus_own_error_is_known() -> None:
    with (
        pytest.raises(TrainingError, match="batch_size 64 and reviews of up to 9 tokens"),
        saying_what_to_lower(TrainConfig(), 9),
    ):
        torch.empty(10**15)


def test_another_error_stays_what_it_is() -> None:
    with (
        pytest.raises(RuntimeError, match="mat1 and mat2"),
        saying_what_to_lower(TrainConfig(), 9),
    ):
        torch.ones(2, 3) @ torch.ones(2, 3)


def test_left_padding_has_its_length_elsewhere() -> None:
    model = ModelConfig(bidirectional=False, pooling="last")
    with (
        pytest.raises(TrainingError, match=r"then tensors\.max_length"),
        saying_what_to_lower(TrainConfig(padding="left", model=model), 9),
    ):
        raise MemoryError
