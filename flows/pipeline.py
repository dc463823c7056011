"""The flows: ``pipeline`` runs all stages, and each stage has a flow of its own for reruns."""

import os
from pathlib import Path
from typing import Annotated, Any

from prefect import Flow, flow
from pydantic import Field

from flows.decision import Selection
from flows.execution import run_pipeline
from flows.walk import STAGE_NAMES

STORAGE = "SENTIMENT_STORAGE"

Preset = Annotated[str, Field(description="A preset's name, or the path of a YAML file.")]
Data = Annotated[
    str | None,
    Field(description="Folder of the review files; empty for the preset's generated reviews."),
]
Storage = Annotated[
    str | None,
    Field(description="Storage folder; empty for SENTIMENT_STORAGE, else ./storage."),
]
Overrides = Annotated[
    list[str], Field(description="Settings that replace the preset's, as train.epochs=3.")
]
StageName = Annotated[
    str | None, Field(description="One of the stages; those before it must be cached.")
]
Forced = Annotated[list[str], Field(description="Stages that run even when they are cached.")]
Verify = Annotated[bool, Field(description="Read all cached files and compare their digests.")]


def storage_root(given: str | Path | None) -> Path:
    """Return the storage folder: the one given, else the environment's, else ./storage."""
    return Path(given or os.environ.get(STORAGE) or "storage")


@flow(name="pipeline", validate_parameters=True)
def pipeline(
    preset: Preset = "sample",
    data: Data = None,
    storage: Storage = None,
    overrides: Overrides = [],  # noqa: B006  (shown as the form's default; never changed)
    start: StageName = None,
    until: StageName = None,
    force: Forced = [],  # noqa: B006
    verify: Verify = False,
) -> dict[str, Any]:
    """Make a sentiment model from labelled reviews, rerunning only what a change affects."""
    return run_pipeline(
        preset=preset,
        overrides=overrides,
        data=Path(data) if data else None,
        storage=storage_root(storage),
        selection=Selection(start, until, frozenset(force)),
        verify=verify,
    )


def stage_flow(stage: str) -> Flow[..., dict[str, Any]]:
    """Return the flow that runs one stage, with the stages before it taken from the cache."""

    @flow(
        name=stage,
        description=f"Run the stage {stage} alone; the stages before it must be cached.",
        validate_parameters=True,
    )
    def run_stage(
        preset: Preset = "sample",
        data: Data = None,
        storage: Storage = None,
        overrides: Overrides = [],  # noqa: B006
        rerun: Annotated[bool, Field(description="Run even when the result is cached.")] = False,
        verify: Verify = False,
    ) -> dict[str, Any]:
        force = [stage] if rerun else []
        result: dict[str, Any] = pipeline.fn(
            preset, data, storage, overrides, stage, stage, force, verify
        )
        return result

    return run_stage


ingest, tokenize, vocabulary, tensors, train, evaluate, promote, report = map(
    stage_flow, STAGE_NAMES
)
