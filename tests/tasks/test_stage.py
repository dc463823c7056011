"""Stages and what they have done."""

import importlib.metadata
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.steps import STAGE_NAMES, STAGES
from tasks import champion, report, train
from tasks.manifest import Artifact, Manifest
from tasks.run.spec import RunSpec
from tasks.stage import Stage, shards_of
from tests.support.runs import run_plainly


def test_shards_are_in_the_order_of_their_numbers() -> None:
    names = ["rejects.parquet", "test-00000.parquet", "train-100000.parquet", "train-99999.parquet"]
    outputs = tuple(Artifact(name, f"ingest/key/{name}", "", 1, 1) for name in names)
    manifest = Manifest("ingest", "a.txt", "key", {}, {}, {}, {}, outputs, {}, 0.0, "", "", {})
    assert [label for label, _ in shards_of([manifest])] == [
        "a.txt/test-00000",
        "a.txt/train-99999",
        "a.txt/train-100000",
    ]


def test_another_numpy_reruns_what_it_orders_and_what_it_measures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its streams of random numbers, by which batches are ordered, may change: see NEP 19."""
    before = {module.STAGE.name: module.STAGE.versions for module in STAGES}
    installed = importlib.metadata.version
    monkeypatch.setattr(
        "tasks.stage.installed", lambda name: "99" if name == "numpy" else installed(name)
    )
    changed = {m.STAGE.name for m in STAGES if m.STAGE.versions != before[m.STAGE.name]}
    assert changed == {"train", "evaluate", "baseline", "champion"}


def test_a_stage_reads_what_it_declares(make_spec: Callable[..., RunSpec], data: Path) -> None:
    spec = make_spec(data)
    done = run_plainly(spec)
    for module in STAGES:
        for request in module.requests(spec, done):
            read = {artifact.stage for artifact in request.artifacts} - {None}
            assert read <= {*module.STAGE.reads}, module.STAGE.name
    assert {*report.STAGE.reads} == {*STAGE_NAMES} - {"tokenize", "report"}


@pytest.mark.parametrize(
    ("stage", "modules"),
    [
        (train.STAGE, ["training/tracking.py", "training/session.py"]),
        (champion.STAGE, ["classifier.py", "explain/explanation.py", "model/registry.py"]),
    ],
)
def test_code_that_shapes_no_byte_is_in_no_key(stage: Stage, modules: list[str]) -> None:
    reached = {name.partition(":")[0] for name in stage.code}
    assert "sentiment/model/lstm.py" in reached
    assert reached.isdisjoint(f"sentiment/{module}" for module in modules)
