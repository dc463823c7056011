"""Where a model runs, how exact its arithmetic is there, and how memory is allocated."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from sentiment.errors import ConfigError

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of mallopt(3)


def choose_device(wanted: str) -> torch.device:
    """Return the device for ``auto``, ``cpu`` or ``cuda``; ConfigError if there is no GPU."""
    has_gpu = torch.cuda.is_available()
    if wanted == "cuda" and not has_gpu:
        raise ConfigError(
            "train.device is cuda, but PyTorch sees no CUDA GPU here. Use train.device=auto or "
            "cpu, or check the driver with nvidia-smi."
        )
    return torch.device("cuda" if wanted == "cuda" or (wanted == "auto" and has_gpu) else "cpu")


@contextmanager
def arithmetic(precision: str, device: torch.device) -> Iterator[None]:
    """Use ``train.precision`` inside the block; ConfigError if the device does not have it.

    ``tf32`` and ``bf16`` let products of float32 matrices round their factors to TF32; ``bf16``
    also needs :func:`autocast` around the forward pass.
    """
    if precision != "float32" and device.type != "cuda":
        raise ConfigError(
            f"train.precision is {precision}, which needs a CUDA GPU; training would run on the "
            "CPU. Use train.precision=float32."
        )
    if precision == "bf16" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise ConfigError(
            f"train.precision is bf16, which {torch.cuda.get_device_name(device)} lacks. "
            "Use train.precision=tf32 or float32."
        )
    rounded = precision != "float32"
    # By default PyTorch lets cuDNN's LSTM round, but not other products.
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if rounded else "highest")
    torch.backends.cudnn.allow_tf32 = rounded
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Return a context in which the forward pass uses bfloat16, if that is the precision.

    Weights, losses and the optimizer stay float32. bfloat16 has the range of float32, so gradients
    need no scaling.
    """
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def has_bfloat16(device: torch.device) -> bool:
    """Return whether the device is a CPU with instructions for bfloat16 (AVX-512).

    PyTorch also computes in bfloat16 on other CPUs, but slowly.
    """
    # Older versions of PyTorch do not tell.
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return device.type == "cpu" and bool(capabilities.get("avx512_bf16"))


@contextmanager
def denormals_as_zero() -> Iterator[None]:
    """Flush subnormal numbers to zero inside the block.

    A newly initialised model produces many, and they slow a CPU down 7-fold.
    """
    before = sys.float_info.min / 2 == 0.0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def keep_freed_memory() -> None:
    """Make glibc keep freed memory for the next allocation; do nothing elsewhere.

    Each training step frees and allocates the gradient of the whole embedding, tens of megabytes,
    which glibc would otherwise return to the system and fetch back page by page.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl lacks it
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
