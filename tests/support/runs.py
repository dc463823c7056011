"""Runs of the pipeline: tiny settings, and all stages in this process without Prefect."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from flows.steps import STAGES, decide_champion, drive
from tasks import promote
from tasks.gc import Freed, collect
from tasks.manifest import Manifest
from tasks.run.spec import RunSpec
from tasks.stage import Request, Stage
from tasks.store import Store

TINY = (
    "sample.train=300",
    "sample.test=120",
    "ingest.shard_size=100",
    "train.model.embedding_size=8",
    "train.model.hidden_size=8",
    "train.epochs=1",
    "train.max_loss=null",
    "promote.beat_majority=false",  # one epoch of so few reviews teaches nothing
    "promote.match_baseline=false",
)


def run_plainly(spec: RunSpec, until: str | None = None) -> dict[str, list[Manifest]]:
    """Run the pipeline's stages one after the other in this process, without Prefect."""
    spec.store.prepare()
    done: dict[str, list[Manifest]] = {}

    def build(stage: Stage, requests: Sequence[Request]) -> list[Manifest]:
        done[stage.name] = [spec.store.build(request).manifest for request in requests]
        return done[stage.name]

    def answer(stage: Stage, requests: Sequence[Request]) -> list[Manifest]:
        build(stage, requests)
        if stage is promote.STAGE:
            decide_champion(spec, done, build, "a run")
        return done[stage.name]

    drive(spec, answer, until=until)
    return done


def collect_garbage(store: Store, *, keep_runs: int = 1, dry_run: bool = False) -> list[Freed]:
    """Collect the garbage of all stages, however young."""
    stages = [module.STAGE.name for module in STAGES]
    return collect(store, stages, keep_runs=keep_runs, dry_run=dry_run, grace=-timedelta(minutes=1))


def ran(result: dict[str, Any]) -> list[str]:
    """Return the stages that did work."""
    return [stage["stage"] for stage in result["stages"] if stage["state"] == "completed"]
