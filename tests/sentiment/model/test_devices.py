"""Where training runs and how exact it is there; what needs a GPU is skipped without one."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sentiment.errors import ConfigError
from sentiment.model import batches
from sentiment.model.batches import Batch, BatchSource, scoring_order
from sentiment.model.config import ModelConfig, NgramsConfig, TrainConfig
from sentiment.model.devices import arithmetic, autocast, choose_device, has_bfloat16
from sentiment.model.lstm import SentimentLSTM
from sentiment.text.tensors import EncodedReviews, on_disk
from sentiment.training.step import make_optimizer, training_step
from tests.support.bundles import Trained

CPU, GPU = torch.device("cpu"), torch.device("cuda")
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")


def flags() -> tuple[str, bool]:
    return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_coarse_arithmetic_on_the_cpu_is_an_error(precision: str) -> None:
    with (
        pytest.raises(ConfigError, match=rf"train\.precision is {precision}.*needs a CUDA GPU"),
        arithmetic(precision, CPU),
    ):
        pass


def test_an_old_gpu_without_bf16_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla V100")
    with pytest.raises(ConfigError, match="Tesla V100 lacks"), arithmetic("bf16", GPU):
        pass


@pytest.mark.parametrize(
    ("precision", "inside"),
    [("float32", ("highest", False)), ("tf32", ("high", True)), ("bf16", ("high", True))],
)
def test_pytorchs_flags_follow_and_come_back(
    monkeypatch: pytest.MonkeyPatch, precision: str, inside: tuple[str, bool]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    before = flags()
    with pytest.raises(KeyError), arithmetic(precision, GPU):
        assert flags() == inside
        raise KeyError
    assert flags() == before


@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
def test_only_bf16_casts(precision: str) -> None:
    """The CPU has the same autocast, which training does not use there."""
    with autocast(precision, CPU):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if precision == "bf16" else torch.float32)


RECIPE = TrainConfig(
    model=ModelConfig(
        embedding_size=16, hidden_size=16, layers=2, ngrams=NgramsConfig(buckets=1_000)
    ),
    batch_size=32,
)


def two_losses(trained: Trained, device: torch.device, precision: str) -> list[float]:
    """Take two steps and return their losses."""
    torch.manual_seed(1)
    config = RECIPE.model_copy(update={"precision": precision})
    source = source_of(trained, device)
    model = SentimentLSTM(config.model, 500).to(device)
    optimizer = make_optimizer(model, config)
    with arithmetic(precision, device):
        return [float(training_step(model, batch_of(source), optimizer, config)) for _ in range(2)]


@pytest.mark.parametrize("found", [{"avx512_bf16": True}, {"avx512_bf16": False}, {}, None])
def test_only_some_cpus_have_bfloat16(
    found: dict[str, bool] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if found is None:  # as in older versions of PyTorch
        monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    else:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)
    assert has_bfloat16(CPU) == bool(found and found.get("avx512_bf16"))
    assert not has_bfloat16(torch.device("cuda"))


def source_of(trained: Trained, device: torch.device) -> BatchSource:
    reviews = EncodedReviews.load(trained.train_tensors)
    return BatchSource(reviews, padding="right", max_length=40, device=device)


def batch_of(source: BatchSource) -> Batch:
    return source.take(torch.arange(32).numpy())


@gpu
@pytest.mark.parametrize(
    ("precision", "tolerance"), [("float32", 1e-4), ("tf32", 1e-2), ("bf16", 3e-2)]
)
def test_a_gpu_gives_the_cpus_losses(trained: Trained, precision: str, tolerance: float) -> None:
    expected = two_losses(trained, CPU, "float32")
    assert two_losses(trained, GPU, precision) == pytest.approx(expected, abs=tolerance)


@gpu
@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
@pytest.mark.parametrize("precision", ["float32", "tf32", "bf16"])
def test_a_step_never_waits_for_the_gpu(trained: Trained, precision: str) -> None:
    source = source_of(trained, GPU)
    config = RECIPE.model_copy(update={"precision": precision})
    model = SentimentLSTM(config.model, 500).to(GPU)
    optimizer = make_optimizer(model, config)
    training_step(model, batch_of(source), optimizer, config)  # the first may set things up
    torch.cuda.set_sync_debug_mode("error")
    try:
        training_step(model, batch_of(source), optimizer, config)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@gpu
def test_batches_from_a_file_are_those_on_the_gpu(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(mapped: EncodedReviews) -> None:
        small = BatchSource(mapped, padding="right", max_length=40, device=GPU)
        monkeypatch.setattr(batches, "_fits", lambda *_: False)
        large = BatchSource(mapped, padding="right", max_length=40, device=GPU)
        orders = list(scoring_order(small.lengths, 32))
        for got, places in zip(large.ahead(map(large.take, orders)), orders, strict=True):
            assert all(map(torch.equal, got, small.take(places)))

    on_disk(trained.train_tensors, tmp_path, check)


@pytest.mark.parametrize(
    ("wanted", "has_gpu", "chosen"),
    [
        ("auto", False, "cpu"),
        ("auto", True, "cuda"),
        ("cpu", True, "cpu"),
        ("cpu", False, "cpu"),
        ("cuda", True, "cuda"),
    ],
)
def test_auto_takes_a_gpu_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, wanted: str, has_gpu: bool, chosen: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    assert choose_device(wanted) == torch.device(chosen)


def test_a_gpu_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"train\.device is cuda"):
        choose_device("cuda")


# Takes and frees 64 MB over and over; prints how many pages the system had to hand out meanwhile.
PROGRAM = """
import resource, sys
from sentiment.model.devices import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
size = 1 << 26
bytearray(size)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    bytearray(size)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(how: str) -> int:
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True
    )
    return int(process.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_memory_is_not_fetched_again() -> None:
    assert page_faults("keep") < 100 < page_faults("not") / 10
