"""Scheduled, rerun in part, trained on the pool gpu, cancelled, killed: as the API shows it."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import httpx
import pytest
import torch
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterStartTime,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import DeploymentSchedule, FlowRun
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.exceptions import PrefectHTTPStatusError

from flows.run.request_file import read_request
from flows.steps import STAGE_NAMES
from tests.e2e.operation.conftest import SECRET
from tests.e2e.operation.postgresql import PASSWORD
from tests.e2e.operation.service import Service, until
from tests.support.servers import run_sentiment

LONG = ("train.epochs=100000", "train.checkpoint_every=10")
# Any checkpoint is from the end of training.
UNSAVED = ("train.epochs=100000", "train.checkpoint_every=1000000")


def sent_to_gpu(service: Service, seed: int) -> list[FlowRun]:
    """Return the runs that train on the pool gpu with a seed."""
    runs = service.client.read_flow_runs(
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=["gpu"]))
    )
    files = [service.storage / run.parameters["request"] for run in runs]
    return [
        run
        for run, file in zip(runs, files, strict=True)
        if file.exists() and read_request(file).settings["train"].seed == seed  # gc removes some
    ]


@pytest.fixture(scope="module")
def killed(service: Service) -> tuple[UUID, UUID]:
    """Kill server, workers and a training run, as when a machine stops; then start it again.

    Return both runs.
    """
    settings = ("train.epochs=300", "train.checkpoint_every=10")
    before = set(service.storage.glob("checkpoints/*"))
    run = service.start("train", *settings)

    def checkpoints() -> set[Path]:
        return {path.parent for path in service.storage.glob("checkpoints/*/step-*")} - before

    until("the run's checkpoints", checkpoints)
    assert service.processes_of(run)
    # As if a worker of another machine had started it: `up` ends the runs of its own at once.
    service.client.update_flow_run_labels(run, {"prefect.worker.name": "elsewhere"})
    service.kill()
    assert checkpoints()
    service.up()
    again = service.start("train", *settings)
    service.wait(again, "Completed")
    assert not checkpoints()
    return run, again


def test_a_schedule_starts_the_pipeline(service: Service) -> None:
    client = service.client
    deployment = client.read_deployment_by_name("pipeline/pipeline")
    soon = datetime.now(UTC) + timedelta(seconds=10)
    (schedule,) = client.create_deployment_schedules(
        deployment.id,
        [
            DeploymentScheduleCreate(
                # One run only: a second would be cancelled while a slow machine starts the first.
                schedule=IntervalSchedule(interval=timedelta(days=1), anchor_date=soon),
                parameters=service.parameters(),
            )
        ],
    )
    started = FlowRunFilter(start_time=FlowRunFilterStartTime(is_null_=False))
    (run, *_) = until(
        "a scheduled run at work",
        lambda: [
            run for run in client.read_flow_runs(flow_run_filter=started) if run.auto_scheduled
        ],
    )
    client.delete_deployment_schedule(deployment.id, schedule.id)
    service.wait(run.id, "Completed")
    service.has_tasks(run.id, {stage: {"Completed"} for stage in STAGE_NAMES})
    (record,) = service.storage.glob("runs/*/run.json")
    assert json.loads(record.read_text())["state"] == "completed"
    assert "evaluation" in service.artifacts(run.id)


def test_without_the_password_nothing_is_answered(service: Service) -> None:
    url = f"http://127.0.0.1:{service.port}/api/deployments/filter"
    assert httpx.post(url, json={}).status_code == 401
    assert httpx.post(url, json={}, auth=("sentiment", "wrong")).status_code == 401
    assert httpx.post(url, json={}, auth=("sentiment", SECRET)).is_success
    report = next(service.storage.glob("runs/*/report.html"))
    page = f"http://127.0.0.1:{service.port + 1}/runs/{report.parent.name}/report.html"
    assert httpx.get(page).status_code == 401
    shown = httpx.get(page, auth=("sentiment", SECRET))
    assert shown.text == report.read_text(encoding="utf-8")
    files = [*service.folder.glob("*.log"), *service.storage.rglob("*.json")]
    assert len(files) > 3
    seen = [path.read_text(encoding="utf-8") for path in files]
    for kind in ("logs", "artifacts", "flow_runs", "deployments"):
        answer = httpx.post(url.replace("deployments", kind), json={}, auth=("sentiment", SECRET))
        seen.append(answer.raise_for_status().text)
    assert [text for text in seen for secret in (SECRET, PASSWORD) if secret in text] == []


@pytest.mark.parametrize("host", ["127.0.0.1", "elsewhere.example"])
def test_a_web_page_of_another_site_starts_nothing(service: Service, host: str) -> None:
    """Also if its name has been made to lead to this machine (DNS rebinding)."""
    deployment = service.client.read_deployment_by_name("gc/gc").id
    url = f"{service.url}/deployments/{deployment}/create_flow_run"
    page = {"Origin": "http://elsewhere.example", "Host": f"{host}:{service.port}"}
    asked = {"Access-Control-Request-Method": "POST"}
    preflight = httpx.options(url, headers={**page, **asked})
    assert "access-control-allow-origin" not in preflight.headers
    assert httpx.get(f"{service.url}/admin/version", headers=page).status_code == 401
    made = {"job_variables": {"command": "touch made-by-a-web-page"}, "name": "made-by-a-web-page"}
    for kind in ("application/json", "text/plain"):  # a browser sends the second without asking
        answer = httpx.post(url, content=json.dumps(made), headers={**page, "Content-Type": kind})
        assert answer.status_code == 401
    assert not [run for run in service.client.read_flow_runs() if run.name == made["name"]]


def test_the_ui_may_use_the_api_at_both_names_of_this_machine(service: Service) -> None:
    for name in ("127.0.0.1", "localhost"):
        own = f"http://{name}:{service.port}"
        headers = {"Origin": own, "Access-Control-Request-Method": "POST"}
        preflight = httpx.options(f"{service.url}/flow_runs/filter", headers=headers)
        assert preflight.headers["access-control-allow-origin"] == own


def test_with_nothing_new_a_run_says_so_and_a_gate_fails_it_with_its_reason(
    service: Service,
) -> None:
    run = service.start("pipeline")
    service.wait(run, "Completed")
    service.has_tasks(run, {stage: {"Cached"} for stage in STAGE_NAMES})
    until("its last words", lambda: "nothing new: every stage was cached" in service.logs(run))
    (page,) = re.findall(r"http://\S+/report\.html", service.logs(run))
    assert httpx.get(page, auth=("sentiment", SECRET)).is_success
    failed = service.wait(service.start("promote", "promote.min_accuracy=1"), "Failed")
    assert failed.state and failed.state.message
    assert "GateError: Gate promote.min_accuracy: accuracy 0." in failed.state.message
    assert " is below 1 (set by an override)" in failed.state.message


def test_after_a_changed_setting_only_its_stage_runs(service: Service) -> None:
    run = service.start("train", "train.epochs=2")
    service.wait(run, "Completed")
    before = ("ingest", "tokenize", "vocabulary", "tensors")
    service.has_tasks(run, {**{stage: {"Cached"} for stage in before}, "train": {"Completed"}})


def test_training_by_the_pool_gpu(service: Service) -> None:
    run = service.start("train", "run.train_on=gpu-pool", "train.seed=5")
    failing = service.start("train", "run.train_on=gpu-pool", "train.device=cuda")
    service.wait(run, "Completed")
    (other,) = sent_to_gpu(service, seed=5)
    assert other.state_name == "Completed"
    service.has_tasks(other.id, {"train": {"Completed"}})
    until("the run's own task", lambda: "Cached" in service.tasks(run).get("train", ()))
    until("its states in the log", lambda: "on the pool gpu: Completed" in service.logs(run))
    if not torch.cuda.is_available():
        failed = service.wait(failing, "Failed")
        assert failed.state and "PyTorch sees no CUDA GPU here" in (failed.state.message or "")


def test_gc_removes_what_only_older_runs_used(service: Service) -> None:
    def models() -> set[str]:
        return {path.name for path in service.storage.glob("train/*")}

    before = models()
    champion = json.loads((service.storage / "models" / "champion.json").read_text())["champion"]
    latest = (service.storage / "models" / "latest").resolve().name
    deployment = service.client.read_deployment_by_name("gc/gc")
    run = service.client.create_flow_run_from_deployment(deployment.id, parameters={"keep_runs": 1})
    service.wait(run.id, "Completed")
    assert models() == {champion["model"].removeprefix("train/"), latest} < before
    (gone, *_) = before - models()
    until("what it removed", lambda: f"train/{gone}" in service.logs(run.id))


def test_after_kill_9_of_everything_the_next_run_resumes(
    service: Service, killed: tuple[UUID, UUID]
) -> None:
    _, again = killed
    until("its task's end", lambda: service.tasks(again).get("train") == {"Completed"})
    until("where it went on", lambda: "resuming from the checkpoint at step" in service.logs(again))


def test_a_run_beside_another_is_cancelled_and_so_is_one_on_demand(service: Service) -> None:
    def progress() -> set[Path]:
        return set(service.storage.glob("runs/*/progress/train-*.json"))

    def checkpoints() -> set[Path]:
        return set(service.storage.glob("checkpoints/*/step-*"))

    before, saved = progress(), checkpoints()
    run = service.start("pipeline", "train.seed=11", *UNSAVED)
    service.wait(run, "Running")
    overlapping = service.start("pipeline")
    service.wait(overlapping, "Cancelled")
    until("training", lambda: progress() - before)
    assert checkpoints() == saved
    service.cancel_by_command(run)
    service.wait(run, "Cancelled")
    until("the end of its process", lambda: not service.processes_of(run))
    assert checkpoints() > saved
    newest = max(service.storage.glob("runs/*/run.json"))
    assert json.loads(newest.read_bytes())["state"] == "cancelled"
    until("its tasks", lambda: service.tasks(run).get("train") == {"Cancelled"})


def test_a_wrong_form_makes_no_run(service: Service) -> None:
    deployment = service.client.read_deployment_by_name("pipeline/pipeline")
    parameters = service.parameters() | {"settings": {"train": {"epochs": 0}}}
    with pytest.raises(PrefectHTTPStatusError) as refused:
        service.client.create_flow_run_from_deployment(deployment.id, parameters=parameters)
    assert refused.value.response.status_code == 409
    assert "0 is less than the minimum of 1" in refused.value.response.text


def test_a_cancelled_run_cancels_its_training_on_the_pool_gpu(service: Service) -> None:
    run = service.start("train", "run.train_on=gpu-pool", "train.seed=7", *LONG)
    (other,) = until(
        "training by the pool",
        lambda: [found for found in sent_to_gpu(service, seed=7) if found.state_name == "Running"],
    )
    service.cancel(run)
    ended = [service.wait(each, "Cancelled") for each in (run, other.id)]
    assert [each.state_name for each in ended] == ["Cancelled"] * 2


def test_two_runs_share_a_training_which_is_sent_again_when_it_is_killed(service: Service) -> None:
    settings = ("train.seed=13", "train.epochs=1000", "train.checkpoint_every=10")
    before = set(service.storage.glob("checkpoints/*/step-*"))
    options = ("run.train_on=gpu-pool", "run.retry_delay=0")
    runs = [service.start("train", *options, *settings) for _ in range(2)]
    until("a checkpoint", lambda: set(service.storage.glob("checkpoints/*/step-*")) - before)
    (first,) = sent_to_gpu(service, seed=13)
    processes = service.processes_of(first.id)
    for process in processes:
        process.suspend()
    for run in runs:
        until("that it waits", lambda run=run: "on the pool gpu: Running" in service.logs(run))
    for process in processes:
        process.kill()
    for run in runs:
        service.wait(run, "Completed")
        until("what it saw", lambda run=run: "Sending it again (1 of 2)" in service.logs(run))
    crashed, again = sorted(sent_to_gpu(service, seed=13), key=lambda sent: sent.id != first.id)
    assert (crashed.state_name, again.state_name) == ("Crashed", "Completed")
    assert "resuming from the checkpoint at step" in service.logs(again.id)


def test_a_stage_that_takes_too_long_fails_its_run_by_name(service: Service) -> None:
    run = service.start("train", *LONG, "train.seed=9", "run.stage_timeout=6")
    failed = service.wait(run, "Failed")
    assert failed.state and failed.state.message
    assert "The stage train took longer than run.stage_timeout, 6 s" in failed.state.message
    until("the end of its process", lambda: not service.processes_of(run))


def test_deploy_brings_back_what_is_missing_and_leaves_switches_alone(service: Service) -> None:
    client = service.client

    def weekly() -> DeploymentSchedule:
        (schedule,) = client.read_deployment_by_name("gc/gc").schedules
        return schedule

    assert not weekly().active
    client.update_deployment_schedule(
        client.read_deployment_by_name("gc/gc").id, weekly().id, active=True
    )
    client.delete_deployment(client.read_deployment_by_name("tune/tune").id)
    url = f"http://127.0.0.1:{service.port}/api"
    refused = run_sentiment("deploy", PREFECT_API_URL=url, PREFECT_API_AUTH_STRING="sentiment:no")
    assert refused.returncode == 1
    assert "set PREFECT_API_AUTH_STRING" in refused.stderr and "Traceback" not in refused.stderr
    done = run_sentiment(
        "deploy", PREFECT_API_URL=url, PREFECT_API_AUTH_STRING=f"sentiment:{SECRET}"
    )
    assert done.returncode == 0, done.stderr
    assert "deployed" in done.stdout
    pipeline = client.read_deployment_by_name("pipeline/pipeline")
    assert f":{service.port}/deployments/deployment/{pipeline.id}\n" in done.stdout
    assert client.read_deployment_by_name("tune/tune")
    assert weekly().active
    client.update_deployment_schedule(
        client.read_deployment_by_name("gc/gc").id, weekly().id, active=False
    )


def test_a_killed_run_is_marked_by_the_automation(
    service: Service, killed: tuple[UUID, UUID]
) -> None:
    """The last test: it needs minutes, which pass while the others run."""
    run, _ = killed
    crashed = service.wait(run, "Crashed")
    assert crashed.state and crashed.state.message == "No heartbeat for 90 seconds."
