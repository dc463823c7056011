"""Where a model runs."""

import torch

from sentiment.errors import ConfigError


def choose_device(wanted: str) -> torch.device:
    """Return the device for ``auto``, ``cpu`` or ``cuda``; ``cuda`` without a GPU is an error."""
    has_gpu = torch.cuda.is_available()
    if wanted == "cuda" and not has_gpu:
        raise ConfigError(
            "train.device is cuda, but PyTorch sees no CUDA GPU here. Use train.device=auto or "
            "cpu, or check the driver with nvidia-smi."
        )
    return torch.device("cuda" if wanted == "cuda" or (wanted == "auto" and has_gpu) else "cpu")
