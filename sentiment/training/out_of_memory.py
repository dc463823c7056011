"""An out-of-memory error that says which settings to lower."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch

from sentiment.errors import TrainingError
from sentiment.model.config import TrainConfig

CPU_IS_FULL = ("can't allocate memory",)
GPU_IS_FULL = (
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


@contextmanager
def saying_what_to_lower(train: TrainConfig, max_length: int) -> Iterator[None]:
    """Turn running out of memory into a TrainingError that names the settings to lower.

    ``max_length`` is the number of tokens of the longest review in a training step.
    """
    try:
        yield
    except (RuntimeError, MemoryError, TrainingError) as error:
        # Only the text tells when CUDA's libraries or the CPU allocator fail (a plain
        # RuntimeError), or another training process does (a TrainingError).
        on_gpu = isinstance(error, torch.OutOfMemoryError) or _says(error, GPU_IS_FULL)
        if not (on_gpu or isinstance(error, MemoryError) or _says(error, CPU_IS_FULL)):
            raise
        length = "tensors.max_length" if train.padding == "left" else "train.max_length"
        width = "hidden_size" if train.model.lstm else "ngrams.buckets"
        raise TrainingError(
            f"Training ran out of {'GPU ' if on_gpu else ''}memory with train.batch_size "
            f"{train.batch_size} and reviews of up to {max_length} tokens. Lower train.batch_size "
            f"first, then {length}, train.model.{width} or vocabulary.max_size."
        ) from error


def _says(error: BaseException, texts: Iterable[str]) -> bool:
    return any(text in str(error) for text in texts)
