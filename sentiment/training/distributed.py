"""Training in several processes of one machine, each with a share of every batch.

All of them hold the same weights: they start alike, add up their gradients and take the same step.
The calling process is one of them (rank 0): it alone validates, writes checkpoints and answers
signals. The others end with it.
"""

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
from torch import Tensor, nn

from sentiment.errors import ConfigError, SentimentError, TrainingError

# How long a process waits for the others; rank 0 validates meanwhile.
PATIENCE = timedelta(minutes=30)
END = 60.0  # seconds in which the others have to end by themselves


@dataclass(frozen=True)
class Team:
    """The processes that train together, as one of them sees it; by default it is alone.

    ``others`` are the processes that rank 0 started, ``folder`` is where they leave their errors.
    """

    rank: int = 0
    size: int = 1
    others: Sequence[BaseProcess] = ()
    folder: Path = Path()

    def share(self, places: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], float]:
        """Return this process's part of a batch, and which share of the batch that is.

        A batch of fewer rows than processes leaves some with a row that counts for nothing.
        """
        own = places[self.rank :: self.size]
        return (own, len(own) / len(places)) if len(own) else (places[:1], 0.0)

    def sum(self, model: nn.Module, loss: Tensor, share: float) -> Tensor:
        """Make the gradients those of the whole batch; return its loss.

        ``loss`` and the gradients are means over this process's part, ``share`` of the batch.
        """
        if self.size == 1:
            return loss
        total = loss * share
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        for gradient in gradients:
            gradient.mul_(share)
        with self._blaming_the_dead():
            works = [dist.all_reduce(each, async_op=True) for each in (*gradients, total)]
            for work in works:
                work.wait()
        return total

    def seed(self, seed: int, step: int) -> None:
        """Give each process random numbers of its own for a step; alone, they just go on.

        They follow from seed, step and rank, so that a checkpoint need not hold all states.
        """
        if self.size > 1:
            state = np.random.SeedSequence([seed, step, self.rank]).generate_state(1)
            torch.manual_seed(int(state[0]))

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            with self._blaming_the_dead():
                dist.barrier()

    @contextmanager
    def _blaming_the_dead(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError:  # PyTorch's own says no more than that a connection was lost
            self.check(patience=5.0)
            raise

    def check(self, patience: float = 0.0) -> None:
        """Raise TrainingError when another process has died, or does so within some seconds."""
        for rank, process in enumerate(self.others, 1):
            process.join(patience)
            if process.exitcode:
                told = self.folder / f"error-{rank}"
                why = told.read_text(encoding="utf-8") if told.exists() else "no message"
                raise TrainingError(
                    f"Training process {rank} of {self.size} ended with exit code "
                    f"{process.exitcode}: {why}"
                )


ALONE = Team()


@contextmanager
def team_of(
    size: int, device: torch.device, work: Callable[..., Any], *arguments: Any
) -> Iterator[Team]:
    """Start the other processes, which call ``work(team, *arguments)``, and be rank 0.

    Both must be picklable. On a GPU each process has one of its own. When the block ends the others
    are gone. Raises ConfigError for fewer GPUs than processes, TrainingError when one dies.
    """
    if size == 1:
        yield ALONE
        return
    if device.type == "cuda" and torch.cuda.device_count() < size:
        raise ConfigError(
            f"train.processes is {size}, and there are {torch.cuda.device_count()} GPUs here. "
            "Lower it, or use train.device=cpu."
        )
    threads = torch.get_num_threads()
    with TemporaryDirectory(prefix="sentiment-team-") as name:
        folder = Path(name)
        others = [
            mp.get_context("spawn").Process(
                target=_take_part,
                args=(Team(rank, size, folder=folder), device.type, threads, work, arguments),
                daemon=True,
            )
            for rank in range(1, size)
        ]
        for process in others:
            process.start()
        team = Team(0, size, others, folder)
        try:
            while not all((folder / f"ready-{rank}").exists() for rank in range(1, size)):
                team.check(patience=0.05)
            with _group(team, device.type, threads):
                yield team
                for process in others:
                    process.join(END)
        finally:
            for process in others:
                process.kill()
                process.join()
            torch.set_num_threads(threads)


def own_device(team: Team, device: torch.device) -> torch.device:
    """Return the device of one process: on a machine with GPUs each has its own."""
    alone = team.size == 1 or device.type != "cuda"
    return device if alone else torch.device("cuda", team.rank)


@contextmanager
def _group(team: Team, device: str, threads: int) -> Iterator[None]:
    if sys.platform == "linux":  # all are on this machine, and nobody else shall connect
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    if device == "cuda":
        torch.cuda.set_device(team.rank)
    torch.set_num_threads(max(1, threads // team.size))
    dist.init_process_group(
        "nccl" if device == "cuda" else "gloo",
        init_method=f"file://{team.folder / 'meeting'}",
        rank=team.rank,
        world_size=team.size,
        timeout=PATIENCE,
    )
    try:
        yield
    finally:
        dist.destroy_process_group()


def _take_part(
    team: Team, device: str, threads: int, work: Callable[..., Any], arguments: Sequence[Any]
) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # rank 0 decides when to stop
    threading.Thread(target=_end_with_parent, daemon=True).start()
    (team.folder / f"ready-{team.rank}").touch()
    try:
        with _group(team, device, threads):
            work(team, *arguments)
    except (SentimentError, RuntimeError, MemoryError) as error:
        (team.folder / f"error-{team.rank}").write_text(str(error), encoding="utf-8")
        sys.exit(1)


def _end_with_parent() -> None:
    parent = mp.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
