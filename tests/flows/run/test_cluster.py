"""Mapped stages on a Dask cluster whose workers are processes of this machine."""

import errno
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prefect import flow

from flows.run.context import RunContext
from flows.run.stage import StageRun, run_stage
from sentiment.errors import StageError, StorageError
from tasks import tokenize
from tasks.manifest import digest_outputs
from tasks.run.config import RunConfig
from tasks.run.shard import Outcome
from tasks.run.spec import RunSpec
from tasks.stage import Request
from tasks.store.run_records import RunRecord
from tests.support.notes import Notes
from tests.support.runs import run_plainly

distributed = pytest.importorskip("distributed")
from flows.run import cluster  # noqa: E402

Make = Callable[..., RunSpec]
RUNNER = "run.runner=dask://127.0.0.1:{}"


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """The runner of a cluster with two workers, on which one death of a worker is too many."""
    dask = pytest.importorskip("dask")
    dashboard = {"dashboard_address": "127.0.0.1:0", "worker_dashboard_address": "127.0.0.1:0"}
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", silence_logs=50, **dashboard
        ) as local,
    ):
        yield local.scheduler_address.replace("tcp://", "dask://")


@pytest.fixture
def client(scheduler: str) -> Iterator[Any]:
    with distributed.Client(scheduler.replace("dask://", "tcp://")) as client:
        yield client


@pytest.fixture
def shards(make_spec: Make, data: Path) -> tuple[RunSpec, list[Request]]:
    """A spec with its reviews ingested, and the requests of tokenize."""
    spec = make_spec(data, "ingest.shard_size=20")
    return spec, tokenize.requests(spec, run_plainly(spec, until="ingest"))


def tokenized(
    spec: RunSpec, requests: list[Request], runner: str, make_spec: Make, *settings: str
) -> tuple[StageRun, list[str]]:
    """Run tokenize as a run does; return what came of it and the notes."""
    runner_is = make_spec(spec.data, f"run.runner={runner}", "run.retry_delay=0", *settings)
    assert runner_is.store.root == spec.store.root
    notes = Notes()
    context = RunContext(runner_is, RunRecord(spec.store, "a-run"), notes)
    try:
        return flow(lambda: run_stage(context, tokenize.STAGE, requests))(), notes.lines
    finally:
        context.record.finish("completed")


@pytest.mark.usefixtures("prefect_server")
def test_only_what_is_missing_is_sent_and_the_bytes_are_the_same(
    shards: tuple[RunSpec, list[Request]],
    scheduler: str,
    make_spec: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec, requests = shards
    there = spec.store.build(requests[1]).manifest
    sent = []
    to_json = cluster.to_json
    monkeypatch.setattr(cluster, "to_json", lambda r: sent.append(r.label) or to_json(r))
    ended, _ = tokenized(spec, requests, scheduler, make_spec)
    assert sent == [requests[0].label, *(r.label for r in requests[2:])]
    assert ended.manifests[1] == there
    assert ended.result.state == "completed"
    oracle = [spec.store.build(r, force=True).manifest for r in requests]
    assert digest_outputs(oracle) == ended.result.digest
    # Now that all is there, nobody needs the cluster.
    ended, notes = tokenized(spec, requests, "dask://127.0.0.1:1", make_spec)
    assert ended.result.state == "cached"
    assert notes == ["tokenize   cached: nothing changed"]


def fail_once(asked: Mapping[str, Any], marks: str) -> Outcome:
    """Fail with a time-out, but not twice for one shard."""
    mark = Path(marks, asked["key"])
    if mark.exists():
        return Outcome(1)
    mark.touch()
    away = TimeoutError(errno.ETIMEDOUT, "timed out")
    return Outcome(0, StorageError("s3://b: does not answer"), away)


def test_a_cause_arrives_with_its_error(client: Any, shards: Any, tmp_path: Path) -> None:
    _, requests = shards
    work = partial(fail_once, marks=str(tmp_path))
    ((_, outcome),) = cluster.outcomes(client, tokenize.STAGE, requests[:1], work, Notes())
    assert isinstance(outcome.error, StorageError)
    assert isinstance(outcome.cause, TimeoutError)
    assert outcome.cause.errno == errno.ETIMEDOUT


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("retries", [0, 1])
def test_only_a_transient_failure_is_sent_again(
    retries: int,
    shards: tuple[RunSpec, list[Request]],
    scheduler: str,
    make_spec: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec, requests = shards
    attempts: list[list[str]] = []

    def outcomes(
        client: Any, stage: Any, asked: list[Request], work: Any, reporter: Any
    ) -> Iterator[tuple[Request, Outcome]]:
        attempts.append([request.label for request in asked])
        for request in asked:
            spec.store.build(request)
            if request is requests[0] and len(attempts) == 1:
                away = TimeoutError(errno.ETIMEDOUT, "timed out")
                yield request, Outcome(0, StorageError("does not answer"), away)
            else:
                yield request, Outcome(1)

    monkeypatch.setattr(cluster, "outcomes", outcomes)
    settings = f"run.retries={retries}"
    if retries:
        tokenized(spec, requests, scheduler, make_spec, settings)
        assert attempts == [[r.label for r in requests], [requests[0].label]]
    else:
        with pytest.raises(StorageError, match="does not answer"):
            tokenized(spec, requests, scheduler, make_spec, settings)


def die_once(asked: Mapping[str, Any], marks: str) -> Outcome:
    """End this worker without a word, but not twice for one shard."""
    mark = Path(marks, asked["key"])
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return Outcome(1)


def die(asked: Mapping[str, Any]) -> Outcome:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def test_the_shard_of_a_worker_that_dies_is_done_by_another(
    client: Any, shards: tuple[RunSpec, list[Request]], tmp_path: Path
) -> None:
    _, requests = shards
    work = partial(die_once, marks=str(tmp_path))
    found = [*cluster.outcomes(client, tokenize.STAGE, requests[:1], work, Notes())]
    assert [(request.label, outcome) for request, outcome in found] == [
        (requests[0].label, Outcome(1))
    ]


def test_a_shard_whose_workers_all_die_is_named_with_what_to_lower(
    client: Any, shards: tuple[RunSpec, list[Request]]
) -> None:
    _, requests = shards
    ((request, outcome),) = cluster.outcomes(client, tokenize.STAGE, requests[:1], die, Notes())
    assert isinstance(outcome.error, StageError)
    assert str(outcome.error).startswith(f"tokenize {request.label}: 2 times its worker died")
    assert "ingest.shard_size" in str(outcome.error)


def test_a_cluster_without_workers_is_waited_for_with_a_line(
    shards: tuple[RunSpec, list[Request]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, requests = shards
    monkeypatch.setattr(cluster, "PATIENCE", 0.5)
    notes = Notes()
    work = partial(fail_once, marks=str(tmp_path))
    with (
        distributed.LocalCluster(
            n_workers=0, host="127.0.0.1", silence_logs=50, dashboard_address="127.0.0.1:0"
        ) as empty,
        distributed.Client(empty) as client,
    ):
        notes.then = lambda: empty.scale(1)
        assert len([*cluster.outcomes(client, tokenize.STAGE, requests[:1], work, notes)]) == 1
    assert notes.lines[0].startswith("tokenize   the cluster has no worker, still waiting; start")


@pytest.mark.usefixtures("prefect_server")
def test_workers_that_do_not_share_the_folder_are_an_error_that_says_so(
    shards: tuple[RunSpec, list[Request]],
    scheduler: str,
    make_spec: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def elsewhere(
        client: Any, stage: Any, asked: list[Request], *_: Any
    ) -> Iterator[tuple[Request, Outcome]]:
        yield from ((request, Outcome(1)) for request in asked)

    spec, requests = shards
    monkeypatch.setattr(cluster, "outcomes", elsewhere)
    with pytest.raises(StageError, match=r"is not in /.*storage\. They need this folder"):
        tokenized(spec, requests, scheduler, make_spec)


@pytest.mark.usefixtures("prefect_server")
def test_an_address_without_a_scheduler_is_an_error_with_advice(
    shards: tuple[RunSpec, list[Request]], make_spec: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, requests = shards
    monkeypatch.setattr(cluster, "CONNECT_WITHIN", 1.0)
    with pytest.raises(StageError, match=r"dask://127\.0\.0\.1:1 does not answer.*dask scheduler"):
        tokenized(spec, requests, "dask://127.0.0.1:1", make_spec)


def test_with_tls_the_certificates_of_dask_s_configuration_are_used() -> None:
    dask = pytest.importorskip("dask")
    pytest.importorskip("cryptography")
    security = distributed.Security.temporary()
    certificates = {
        "distributed.comm.tls.ca-file": security.tls_ca_file,
        "distributed.comm.tls.client.cert": security.tls_client_cert,
        "distributed.comm.tls.client.key": security.tls_client_key,
    }
    with distributed.LocalCluster(
        n_workers=0, host="127.0.0.1", security=security, dashboard_address="127.0.0.1:0"
    ) as local:
        address = local.scheduler_address
        assert address.startswith("tls://")
        config = RunConfig(runner=address.replace("tls://", "dasks://"))
        with (
            dask.config.set(certificates),
            cluster.connected(config, tokenize.STAGE, 1) as client,
        ):
            assert client.scheduler_info()["address"] == address
        with (
            pytest.raises(StageError, match="dasks://127"),
            cluster.connected(config, tokenize.STAGE, 1),
        ):
            pass
