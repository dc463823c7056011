"""Training in processes that torchrun started, on one machine or several.

Rank 0 computes the stage as usual. The others wait until it trains, if it does.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from sentiment.errors import ConfigError
from sentiment.model.config import TrainConfig
from sentiment.model.devices import choose_device
from sentiment.training.distributed import SINGLE_PROCESS, ProcessGroup, joined, launched_group

# Others wait while rank 0 validates, or waits itself for one that trains the same. torchrun sees
# processes and machines that die.
PATIENCE = timedelta(days=1)
MODULE = "flows.cli train-request"


@contextmanager
def torchrun_group(train: TrainConfig) -> Iterator[ProcessGroup]:
    """Join the processes that torchrun started; yield the group, a single process without torchrun.

    Raises ConfigError if they are not ``train.processes``, have too few GPUs, or cannot meet again.
    """
    if not dist.is_torchelastic_launched():
        yield SINGLE_PROCESS
        return
    group, wanted = launched_group(), train.processes
    if group.size != wanted:
        raise ConfigError(
            f"torchrun started {group.size} processes, but the request has train.processes "
            f"{wanted}. Start as many, `torchrun --nproc-per-node {wanted} -m {MODULE} FILE` on "
            f"one machine, or write the request again with --set train.processes={group.size}."
        )
    if os.environ["TORCHELASTIC_RESTART_COUNT"] != "0" and (
        os.environ["TORCHELASTIC_USE_AGENT_STORE"] == "True"
    ):
        raise ConfigError(
            "torchrun started the processes again, where they would wait for the dead ones: set "
            "TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 for torchrun, or leave out --max-restarts."
        )
    device, here = choose_device(train.device), int(os.environ["LOCAL_WORLD_SIZE"])
    if device.type == "cuda" and torch.cuda.device_count() < here:
        raise ConfigError(
            f"torchrun started {here} processes on this machine, which has "
            f"{torch.cuda.device_count()} GPUs. Lower --nproc-per-node, or use train.device=cpu."
        )
    if group.size == 1:
        yield SINGLE_PROCESS
        return
    with joined(group, device.type, "env://", PATIENCE):
        yield group


def follow(group: ProcessGroup, take_part: Callable[[Path], Any]) -> None:
    """Call ``take_part`` with rank 0's folder whenever that trains, until ``dismiss``."""
    while (out := group.tell()) is not None:
        take_part(Path(out))


def dismiss(group: ProcessGroup) -> None:
    """Let the processes in ``follow`` end."""
    group.tell(None)
