"""Scheduled, rerun in part, trained on the pool gpu, cancelled, killed: as the API shows it."""

import json
from datetime import UTC, datetime, timedelta

import httpx
import torch
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.schedules import IntervalSchedule

from flows.walk import STAGE_NAMES
from tests.e2e.operation.conftest import SECRET
from tests.e2e.operation.service import Service, until

LONG = ("train.epochs=100000", "train.checkpoint_every=10")


def sent_to_gpu(service: Service, seed: int) -> list[FlowRun]:
    """Return the runs that train on the pool gpu with a seed."""
    return [
        run
        for run in service.client.read_flow_runs()
        if run.work_pool_name == "gpu"
        and run.parameters["request"]["settings"]["train"]["seed"] == seed
    ]


def test_a_schedule_starts_the_pipeline(service: Service) -> None:
    client = service.client
    deployment = client.read_deployment_by_name("pipeline/pipeline")
    soon = datetime.now(UTC) + timedelta(seconds=10)
    (schedule,) = client.create_deployment_schedules(
        deployment.id,
        [
            DeploymentScheduleCreate(
                schedule=IntervalSchedule(interval=timedelta(minutes=1), anchor_date=soon),
                parameters=service.parameters(),
            )
        ],
    )
    (run, *_) = until(
        "a scheduled run at work",
        lambda: [run for run in client.read_flow_runs() if run.auto_scheduled and run.start_time],
    )
    client.delete_deployment_schedule(deployment.id, schedule.id)
    service.wait(run.id, "Completed")
    assert service.tasks(run.id) == {stage: {"Completed"} for stage in STAGE_NAMES}
    (record,) = service.storage.glob("runs/*/run.json")
    assert json.loads(record.read_text())["state"] == "completed"
    assert "evaluation" in {artifact.key for artifact in client.read_artifacts()}


def test_without_the_password_nothing_is_told(service: Service) -> None:
    url = f"http://127.0.0.1:{service.port}/api/deployments/filter"
    assert httpx.post(url, json={}).status_code == 401
    assert httpx.post(url, json={}, auth=("sentiment", "wrong")).status_code == 401
    assert httpx.post(url, json={}, auth=("sentiment", SECRET)).is_success
    written = [*service.folder.glob("*.log"), *service.storage.rglob("*.json")]
    assert len(written) > 3
    assert [path for path in written if SECRET in path.read_text(encoding="utf-8")] == []


def test_after_a_changed_setting_only_its_stage_runs(service: Service) -> None:
    run = service.start("train", "train.epochs=2")
    service.wait(run, "Completed")
    assert service.tasks(run) == {
        **{stage: {"Cached"} for stage in ("ingest", "tokenize", "vocabulary", "tensors")},
        "train": {"Completed"},
    }


def test_training_by_the_pool_gpu(service: Service) -> None:
    run = service.start("train", "run.train_on=gpu-pool", "train.seed=5")
    failing = service.start("train", "run.train_on=gpu-pool", "train.device=cuda")
    service.wait(run, "Completed")
    (other,) = sent_to_gpu(service, seed=5)
    assert other.state_name == "Completed"
    assert service.tasks(other.id) == {"train": {"Completed"}}
    assert service.tasks(run)["train"] >= {"Cached"}
    until("its states in the log", lambda: "on the pool gpu: Completed" in service.logs(run))
    if not torch.cuda.is_available():
        failed = service.wait(failing, "Failed")
        assert failed.state and "PyTorch sees no CUDA GPU here" in (failed.state.message or "")


def test_a_run_beside_another_is_cancelled_and_so_is_one_on_demand(service: Service) -> None:
    run = service.start("pipeline", *LONG)
    service.wait(run, "Running")
    overlapping = service.start("pipeline")
    service.wait(overlapping, "Cancelled")
    until("a checkpoint", lambda: list(service.storage.glob("checkpoints/*/step-*")))
    service.cancel(run)
    service.wait(run, "Cancelled")
    until("the end of its process", lambda: not service.processes_of(run))
    assert list(service.storage.glob("checkpoints/*/step-*"))


def test_a_cancelled_run_cancels_its_training_on_the_pool_gpu(service: Service) -> None:
    run = service.start("train", "run.train_on=gpu-pool", "train.seed=7", *LONG)
    (other,) = until(
        "training by the pool",
        lambda: [found for found in sent_to_gpu(service, seed=7) if found.state_name == "Running"],
    )
    service.cancel(run)
    service.wait(run, "Cancelled")
    service.wait(other.id, "Cancelled")


def test_after_kill_9_of_worker_and_run_the_next_run_goes_on(service: Service) -> None:
    settings = ("train.epochs=300", "train.checkpoint_every=10")
    before = set(service.storage.glob("checkpoints/*"))
    run = service.start("train", *settings)
    until("a checkpoint", lambda: set(service.storage.glob("checkpoints/*/step-*")))
    until("the run's checkpoints", lambda: set(service.storage.glob("checkpoints/*")) - before)
    for process in (service.worker("cpu"), *service.processes_of(run)):
        process.kill()
    service.up()  # starts the worker again, and leaves the rest
    again = service.start("train", *settings)
    service.wait(again, "Completed")
    service.wait(run, "Crashed")
    assert set(service.storage.glob("checkpoints/*")) == before
