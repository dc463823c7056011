"""What torchrun started is checked before anything waits. With real processes: tests/e2e."""

import pytest
import torch
import torch.distributed as dist

from sentiment.errors import ConfigError
from sentiment.model.config import TrainConfig
from sentiment.training.distributed import SINGLE_PROCESS, ProcessGroup, device_of, launched_group
from sentiment.training.torchrun import torchrun_group

ENVIRONMENT = {
    "TORCHELASTIC_RUN_ID": "none",
    "TORCHELASTIC_RESTART_COUNT": "0",
    "TORCHELASTIC_USE_AGENT_STORE": "True",
    "RANK": "5",
    "WORLD_SIZE": "6",
    "LOCAL_RANK": "2",
    "LOCAL_WORLD_SIZE": "3",
    "GROUP_RANK": "1",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


def refusal(config: TrainConfig) -> str:
    with pytest.raises(ConfigError) as raised, torchrun_group(config):
        pass
    assert not dist.is_initialized()
    return str(raised.value)


def test_a_process_knows_its_place_and_its_gpu() -> None:
    group = launched_group()
    assert group == ProcessGroup(rank=5, size=6, local_rank=2, machine=1)
    assert device_of(group, torch.device("cuda")) == torch.device("cuda", 2)
    assert device_of(group, torch.device("cpu")) == torch.device("cpu")


def test_without_torchrun_there_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID")
    with torchrun_group(TrainConfig(processes=4, device="cpu")) as group:
        assert group is SINGLE_PROCESS


def test_another_number_of_processes_is_refused() -> None:
    message = refusal(TrainConfig(processes=4, device="cpu"))
    assert "torchrun started 6 processes, but the request has train.processes 4." in message
    assert "torchrun --nproc-per-node 4 -m flows.cli train-request FILE" in message


def test_processes_that_would_wait_for_dead_ones_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    message = refusal(TrainConfig(processes=6, device="cpu"))
    assert "TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1" in message


def test_too_few_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    message = refusal(TrainConfig(processes=6))
    assert "3 processes on this machine, which has 2 GPUs" in message
