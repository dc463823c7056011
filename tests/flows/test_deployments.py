"""prefect.yaml, read as Prefect reads it."""

import re
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx
import pytest
import yaml
from prefect import Flow, settings
from prefect.cli.deploy._models import PrefectYamlModel
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import State, StateType
from prefect.settings.legacy import Setting
from pydantic import BaseModel

from flows.config.presets import load_config
from flows.server.deployments import POOLS, end_runs, switch_pool, watch_running
from flows.steps import STAGE_NAMES

ROOT = Path(__file__).parents[2]
CONTENT = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
MODEL = PrefectYamlModel.model_validate(CONTENT)


def flow_of(entrypoint: str) -> Flow[..., Any]:
    path, _, name = entrypoint.partition(":")
    flow = getattr(import_module(path.removesuffix(".py").replace("/", ".")), name)
    assert isinstance(flow, Flow)
    return flow


def unknown_keys(content: Any, model: BaseModel) -> list[str]:
    """Return the keys that Prefect would silently ignore."""
    fields = type(model).model_fields
    return [key for key in content if key not in {*fields, *(f.alias for f in fields.values())}]


def test_prefect_knows_every_key() -> None:
    assert unknown_keys(CONTENT, MODEL) == ["definitions"]
    for entry, deployment in zip(CONTENT["deployments"], MODEL.deployments, strict=True):
        assert unknown_keys(entry, deployment) == []
        assert deployment.work_pool and unknown_keys(entry["work_pool"], deployment.work_pool) == []


def test_every_stage_and_the_pipeline_can_be_started_with_their_parameters() -> None:
    names = [deployment.name for deployment in MODEL.deployments]
    assert len(set(names)) == len(names)
    assert {"pipeline", "train-gpu", *STAGE_NAMES} <= set(names)
    for deployment in MODEL.deployments:
        assert deployment.entrypoint and deployment.work_pool
        flow = flow_of(deployment.entrypoint)
        if deployment.parameters:  # the others are started by a run, which gives all of them
            flow.validate_parameters(deployment.parameters)
        assert deployment.work_pool.name in POOLS
        if "preset" in deployment.parameters:
            load_config(deployment.parameters["preset"])


def test_the_schedule_is_off_has_a_time_zone_and_never_overlaps() -> None:
    (pipeline,) = (entry for entry in MODEL.deployments if entry.name == "pipeline")
    (schedule,) = CONTENT["deployments"][0]["schedules"]
    assert schedule["timezone"] and schedule["slug"] and schedule["active"] is False
    limit: Any = pipeline.concurrency_limit
    assert (limit.limit, limit.collision_strategy) == (1, "CANCEL_NEW")


def test_the_prefect_settings_that_are_named_exist() -> None:
    pages = [
        ROOT / "docs/operations.md",
        *(ROOT / "deploy").iterdir(),
        ROOT / "flows/server/local.py",
    ]
    named = {name for page in pages for name in re.findall(r"\bPREFECT_\w+", page.read_text())}
    assert len(named) > 10
    missing = {name for name in named if not isinstance(getattr(settings, name, None), Setting)}
    assert missing == set()


class Server:
    """Has two active runs, one of which has sent a heartbeat; keeps the events it receives."""

    def __init__(self) -> None:
        self.silent, self.alive = uuid4(), uuid4()
        self.events: list[dict[str, Any]] = []

    def read_flow_runs(self, flow_run_filter: FlowRunFilter) -> list[Any]:
        asked = flow_run_filter.model_dump(mode="json", exclude_none=True)["state"]["type"]["any_"]
        assert asked == ["RUNNING", "CANCELLING"]
        return [SimpleNamespace(id=run) for run in (self.silent, self.alive)]

    def request(self, method: str, path: str, json: Any) -> httpx.Response:
        if path == "/events":
            self.events += json
            return httpx.Response(204)
        assert json["filter"]["event"] == {"name": ["prefect.flow-run.heartbeat"]}
        known = json["filter"]["resource"]["id"] == [f"prefect.flow-run.{self.alive}"]
        request = httpx.Request(method, path)
        return httpx.Response(200, json={"events": [{}] if known else []}, request=request)


def test_only_runs_that_send_heartbeats_are_waited_for() -> None:
    server: Any = Server()
    watch_running(server)
    (sent,) = server.events
    assert sent["event"] == "prefect.flow-run.heartbeat"
    assert sent["resource"] == {"prefect.resource.id": f"prefect.flow-run.{server.alive}"}


class Workers:
    """Has a run in each state of interest, by what it is; keeps how they end."""

    def __init__(self) -> None:
        self.ended: dict[str, StateType] = {}
        self.runs = [
            self.run("dead", "mine"),
            self.run("not started", "mine", StateType.PENDING),
            self.run("being cancelled", "mine", StateType.CANCELLING),
            self.run("at work", "mine"),
            self.run("of another worker", "other"),
            self.run("from a terminal", None),
        ]

    def run(self, what: str, worker: str | None, state: StateType = StateType.RUNNING) -> Any:
        labels = {"prefect.worker.name": worker} if worker else {}
        return SimpleNamespace(id=what, name=what, labels=labels, state_type=state)

    def read_flow_runs(self, flow_run_filter: FlowRunFilter) -> list[Any]:
        asked = flow_run_filter.model_dump(mode="json", exclude_none=True)["state"]["type"]["any_"]
        return [run for run in self.runs if run.state_type in asked]

    def set_flow_run_state(self, run: str, state: State) -> None:
        self.ended[run] = state.type


def test_only_dead_runs_of_these_workers_are_ended() -> None:
    server: Any = Workers()
    expected = {
        "dead": StateType.CRASHED,
        "not started": StateType.CRASHED,
        "being cancelled": StateType.CANCELLED,
    }
    assert end_runs(server, {"mine"}, {"at work", None}, "why") == [*expected]
    assert server.ended == expected


class Pool:
    """A server with one work pool, its workers, and how often it was changed."""

    def __init__(self, paused: bool, *workers: str) -> None:
        self.is_paused, self.workers, self.changes = paused, workers, 0

    def read_work_pool(self, name: str) -> "Pool":
        return self

    def read_workers_for_work_pool(self, name: str) -> list[Any]:
        return [SimpleNamespace(name=worker) for worker in self.workers]

    def update_work_pool(self, name: str, change: WorkPoolUpdate) -> None:
        assert (name, change.is_paused) == ("gpu", not self.is_paused)
        self.is_paused, self.changes = not self.is_paused, self.changes + 1


@pytest.mark.parametrize(
    ("paused", "workers", "on", "after"),
    [
        (False, (), False, True),  # nothing works for it
        (False, ("own",), False, True),  # of an earlier time with --gpu
        (False, ("own", "elsewhere"), False, False),
        (True, ("elsewhere",), False, True),  # by the user
        (True, (), True, False),
        (False, (), True, False),
    ],
)
def test_a_pool_without_workers_is_paused_until_one_is_to_start(
    paused: bool, workers: tuple[str, ...], on: bool, after: bool
) -> None:
    server: Any = Pool(paused, *workers)
    assert switch_pool(server, "gpu", "own", on=on) is after
    assert server.is_paused is after
    assert server.changes == (paused is not after)
