"""Runs of the pipeline: tiny settings, and all stages in this process without Prefect."""

from typing import Any

from flows.steps import RunSpec, pipeline_steps
from tasks.manifest import Manifest
from tasks.registry.champion import settle

TINY = (
    "sample.train=300",
    "sample.test=120",
    "ingest.shard_size=100",
    "train.model.embedding_size=8",
    "train.model.hidden_size=8",
    "train.epochs=1",
    "train.max_loss=null",
    "promote.min_accuracy=0",
)


def run_plainly(spec: RunSpec, until: str | None = None) -> dict[str, list[Manifest]]:
    """Run the pipeline's stages one after the other in this process, without Prefect."""
    done: dict[str, list[Manifest]] = {}
    steps = pipeline_steps(spec)
    stage, requests = next(steps)
    while True:
        done[stage.name] = [spec.store.build(request).manifest for request in requests]
        settled = stage.name != "promote" or settle(
            spec.store, done["promote"][0], done["train"][0], "a run"
        )
        if settled and stage.name == until:
            return done
        try:
            stage, requests = steps.send(done[stage.name] if settled else [])
        except StopIteration:
            return done


def ran(result: dict[str, Any]) -> list[str]:
    """Return the stages that did work."""
    return [stage["stage"] for stage in result["stages"] if stage["state"] == "completed"]
