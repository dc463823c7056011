"""Training in several processes, each with a shard of every batch.

All hold the same weights: they start from the same seed, add up their gradients and take the same
step. Rank 0 alone validates, reads and writes checkpoints. It starts the others, on its machine,
and they end when it does; or torchrun has started all (see ``torchrun``).
"""

import json
import multiprocessing as mp
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist

# PyTorch loads this module sooner or later. Its functions have the group of that moment as a
# default, whose threads then live on, and now and then abort the process at its end.
import torch.distributed.nn
from torch import Tensor, nn

from sentiment.errors import ConfigError, SentimentError, TrainingError
from sentiment.training.checkpoints import Checkpoint
from sentiment.training.gradients import add_up

# A process waits this long for the others, since rank 0 validates in the meantime.
PATIENCE = timedelta(minutes=30)
END = 60.0  # seconds for the others to exit by themselves


@dataclass(frozen=True)
class ProcessGroup:
    """The processes that train together, seen from one of them; by default a single process.

    ``local_rank`` counts the processes of one ``machine``, which are counted too: the one with
    local rank 0 prepares what those of its machine share. ``others`` are the processes that rank 0
    started, ``folder`` is where they write their errors.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    machine: int = 0
    others: Sequence[BaseProcess] = ()
    folder: Path = Path()

    def shard(self, places: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], float]:
        """Return this process's shard of a batch, and its share of the batch, from 0 to 1.

        A batch of fewer rows than processes leaves some with a row of share 0.
        """
        own = places[self.rank :: self.size]
        return (own, len(own) / len(places)) if len(own) else (places[:1], 0.0)

    def sum(self, model: nn.Module, loss: Tensor, share: float) -> Tensor:
        """Turn the gradients into those of the whole batch; return its loss.

        ``loss`` and the gradients are means over this process's shard, ``share`` of the batch.
        """
        if self.size == 1:
            return loss
        total = loss * share
        with self._blaming_the_dead():
            add_up([p.grad for p in model.parameters() if p.grad is not None], share)
            dist.all_reduce(total)
        return total

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in some process; all of them have to ask."""
        if self.size == 1:
            return flag
        flags = torch.tensor(int(flag))  # on the CPU: no process waits for its GPU
        with self._blaming_the_dead():
            dist.all_reduce(flags)
        return bool(flags)

    def tell(self, value: Any = None) -> Any:
        """Return rank 0's ``value``, as JSON, in all processes."""
        if self.size == 1:
            return value
        text = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        with self._blaming_the_dead():
            length = torch.tensor(len(text))
            dist.broadcast(length, 0)
            content = text if self.rank == 0 else text.new_empty(int(length))
            dist.broadcast(content, 0)
        return json.loads(content.numpy().tobytes())

    def hand_out(self, checkpoint: Checkpoint | None) -> Checkpoint | None:
        """Return rank 0's checkpoint in all processes: the others may not share its disk."""
        if self.size == 1:
            return checkpoint
        about = checkpoint and {
            "state": checkpoint.state,
            "tensors": {n: [str(t.dtype), list(t.shape)] for n, t in checkpoint.tensors.items()},
        }
        if (about := self.tell(about)) is None:
            return None
        tensors = {
            name: checkpoint.tensors[name].contiguous()
            if checkpoint is not None
            else torch.empty(shape, dtype=getattr(torch, dtype.removeprefix("torch.")))
            for name, (dtype, shape) in about["tensors"].items()
        }
        with self._blaming_the_dead():
            for tensor in tensors.values():
                dist.broadcast(tensor, 0)
        return Checkpoint(tensors, about["state"])

    def seed(self, seed: int, step: int) -> None:
        """Seed each process differently for a step; a single process keeps its generator.

        The seed follows from seed, step and rank, so that a checkpoint need not hold all states.
        """
        if self.size > 1:
            state = np.random.SeedSequence([seed, step, self.rank]).generate_state(1)
            torch.manual_seed(int(state[0]))

    def wait(self) -> None:
        """Wait until all processes reach this point."""
        self.any(False)

    @contextmanager
    def _blaming_the_dead(self) -> Iterator[None]:
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:  # PyTorch's message only says that a connection was lost
            self.check(patience=5.0)
            raise TrainingError(
                f"Training process {self.rank} of {self.size} lost its connection to another. "
                "That one's error, or torchrun's report, says why; run it again to resume. "
                f"({error})"
            ) from error

    def check(self, patience: float = 0.0) -> None:
        """Raise TrainingError if another process has failed or fails in ``patience`` seconds."""
        for rank, process in enumerate(self.others, 1):
            process.join(patience)
            if process.exitcode:
                file = self.folder / f"error-{rank}"
                why = file.read_text(encoding="utf-8") if file.exists() else "no message"
                raise TrainingError(
                    f"Training process {rank} of {self.size} ended with exit code "
                    f"{process.exitcode}: {why}"
                )


SINGLE_PROCESS = ProcessGroup()


def launched_group() -> ProcessGroup:
    """Return the group of the processes that torchrun started, seen from this one."""
    rank, size, local_rank, machine = (
        int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "GROUP_RANK")
    )
    return ProcessGroup(rank, size, local_rank, machine)


@contextmanager
def process_group(
    size: int, device: torch.device, out: Path, work: Callable[..., Any], *arguments: Any
) -> Iterator[ProcessGroup]:
    """Start the other processes, which call ``work(group, *arguments)``; yield rank 0's group.

    ``work`` and its arguments must be picklable. On GPUs each process uses a different one. The
    others have ended when the block ends. Where torchrun has started all of them, each calls this;
    rank 0 tells the others, which wait for it (see ``torchrun``), its folder ``out``. Raises
    ConfigError for fewer GPUs than processes, TrainingError when a process fails.
    """
    if size == 1:
        yield SINGLE_PROCESS
        return
    if dist.is_initialized():
        group = launched_group()
        if group.rank == 0:
            group.tell(str(out))
        yield group
        return
    if device.type == "cuda" and torch.cuda.device_count() < size:
        raise ConfigError(
            f"train.processes is {size}, but there are {torch.cuda.device_count()} GPUs here. "
            "Lower it, or use train.device=cpu."
        )
    threads = torch.get_num_threads()
    with TemporaryDirectory(prefix="sentiment-group-") as name:
        folder = Path(name)
        others = [
            mp.get_context("spawn").Process(
                target=_take_part,
                args=(
                    ProcessGroup(rank, size, rank, folder=folder),
                    device.type,
                    threads,
                    work,
                    arguments,
                ),
                daemon=True,
            )
            for rank in range(1, size)
        ]
        for process in others:
            process.start()
        group = ProcessGroup(0, size, others=others, folder=folder)
        try:
            while not all((folder / f"ready-{rank}").exists() for rank in range(1, size)):
                group.check(patience=0.05)
            with _joined_here(group, device.type, threads):
                yield group
                for process in others:
                    process.join(END)
        finally:
            for process in others:
                process.kill()
                process.join()
            torch.set_num_threads(threads)


def device_of(group: ProcessGroup, device: torch.device) -> torch.device:
    """Return the device of a process of the group: on GPUs, the one with its local rank."""
    alone = group.size == 1 or device.type != "cuda"
    return device if alone else torch.device("cuda", group.local_rank)


@contextmanager
def _joined_here(group: ProcessGroup, device: str, threads: int) -> Iterator[None]:
    if sys.platform == "linux":  # all are on this machine: accept no other connection
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(max(1, threads // group.size))
    with joined(group, device, f"file://{group.folder / 'meeting'}", PATIENCE):
        yield


@contextmanager
def joined(group: ProcessGroup, device: str, meeting: str, patience: timedelta) -> Iterator[None]:
    """Connect the processes of a group, which meet at ``meeting``, a URL, until the block ends."""
    if device == "cuda":
        torch.cuda.set_device(group.local_rank)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo",
        init_method=meeting,
        rank=group.rank,
        world_size=group.size,
        timeout=patience,
    )
    try:
        yield
    finally:
        dist.destroy_process_group()


def _take_part(
    group: ProcessGroup,
    device: str,
    threads: int,
    work: Callable[..., Any],
    arguments: Sequence[Any],
) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # until training holds them: rank 0 ends this one
    threading.Thread(target=_end_with_parent, daemon=True).start()
    (group.folder / f"ready-{group.rank}").touch()
    try:
        with _joined_here(group, device, threads):
            work(group, *arguments)
    except (SentimentError, RuntimeError, MemoryError, OSError) as error:
        (group.folder / f"error-{group.rank}").write_text(str(error), encoding="utf-8")
        sys.exit(1)


def _end_with_parent() -> None:
    parent = mp.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
