"""Requests as JSON values."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from flows.steps import drive
from sentiment.errors import StageError
from tasks import tokenize, train
from tasks.manifest import Manifest
from tasks.run.portable import check_shared, from_json, to_json
from tasks.run.shard import compute_shard
from tasks.run.spec import RunSpec
from tasks.stage import Request, Stage
from tasks.store import Store
from tests.support.runs import run_plainly

Make = Callable[..., RunSpec]


@pytest.fixture
def spec(make_spec: Make, data: Path) -> RunSpec:
    return make_spec(data)


@pytest.fixture
def shard(spec: RunSpec) -> Request:
    """A request of tokenize, whose input there is."""
    return tokenize.requests(spec, run_plainly(spec, until="ingest"))[0]


def test_the_requests_of_a_run_are_the_same_again(spec: RunSpec) -> None:
    seen = []

    def check(requests: Sequence[Request]) -> None:
        for request in requests:
            again = from_json(json.loads(json.dumps(to_json(request))))
            assert (again.key, again.label, again.stage) == (
                request.key,
                request.label,
                request.stage,
            )
            assert again.arguments(spec.store.root) == request.arguments(spec.store.root)
            seen.append(request.stage.name)

    def build(_: Stage, requests: Sequence[Request]) -> list[Manifest]:
        check(requests)
        return [spec.store.build(request).manifest for request in requests]

    spec.store.prepare()
    check(train.requests(spec, drive(spec, build, until="tensors")))
    assert {*seen} == {"ingest", "tokenize", "vocabulary", "tensors", "train"}


def test_the_key_is_computed_again(shard: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = to_json(shard)
    with pytest.raises(StageError, match=r"tokenize .*asked for 0+, but this machine.*same commit"):
        from_json({**asked, "key": "0" * 16})
    monkeypatch.setattr("tasks.stage.installed", lambda library: "0.1")
    with pytest.raises(StageError, match="the version of a library differs"):
        from_json(asked)


@pytest.mark.parametrize("content", [{}, {"stage": "ingest"}, {"stage": "none"}])
def test_what_is_no_request_is_an_error(content: dict[str, str]) -> None:
    with pytest.raises((KeyError, ImportError)):
        from_json(content)


def test_a_shard_is_computed_where_the_storage_is(spec: RunSpec, shard: Request) -> None:
    place = spec.store.place()
    outcome = compute_shard(to_json(shard), place=place, run="a run", force=False)
    assert outcome.error is None
    manifest = spec.store.find(shard).manifest
    assert manifest is not None
    assert (manifest.run, outcome.rows) == ("a run", manifest.output("tokens.parquet").rows)


def test_a_shard_that_fails_brings_its_error(spec: RunSpec, shard: Request, tmp_path: Path) -> None:
    place = str(tmp_path / "elsewhere")
    found = compute_shard(to_json(shard), place=place, run="a run", force=False)
    assert isinstance(found.error, StageError)
    assert "On the worker machine" in str(found.error)
    assert "is not on this machine. Share the storage folder" in str(found.error)


def test_files_are_checked_before_the_work(spec: RunSpec, shard: Request, tmp_path: Path) -> None:
    check_shared(shard, spec.store)
    with pytest.raises(StageError, match="Share the storage folder with it"):
        check_shared(shard, Store(tmp_path / "elsewhere"))
