"""The flows: ``pipeline`` runs all stages; each stage also has its own flow."""

from typing import Annotated, Any

from prefect import Flow, State, flow
from pydantic import Field, WithJsonSchema

from flows.config.form import PipelineForm
from flows.config.presets import preset_schema, storage_place
from flows.run.decision import Selection
from flows.run.execution import run_pipeline
from flows.run.interruption import cancellable, interrupted
from flows.steps import STAGE_NAMES
from flows.ui.reporters import current_reporter
from flows.ui.run_summary import RunResult

# A form with a misspelt preset is refused, instead of starting a run that fails.
PresetName = Annotated[str, WithJsonSchema(preset_schema())]
StageName = Annotated[str, Field(json_schema_extra={"enum": list(STAGE_NAMES)})]


@flow(name="pipeline", validate_parameters=True)
def pipeline(
    preset: PresetName = "sample",
    data: str | None = None,
    storage: str | None = None,
    settings: PipelineForm = PipelineForm(),  # noqa: B008  (shown as the form's default)
    overrides: list[str] = [],  # noqa: B006
    start: StageName | None = None,
    until: StageName | None = None,
    force: list[StageName] = [],  # noqa: B006
    verify: bool = False,
) -> RunResult | State[Any]:
    """Train a sentiment model on labelled reviews, rerunning only what a change affects.

    Args:
        preset: A preset's name, or the path of a YAML file.
        data: Folder or URL of review files; empty for the preset's generated reviews.
        storage: Storage folder or URL; empty for SENTIMENT_STORAGE, else ./storage.
        settings: Settings that replace the preset's; empty ones keep the preset's value.
        overrides: Settings that win over all others, such as train.epochs=3.
        start: First stage to run; earlier stages must be cached.
        until: Last stage to run.
        force: Stages that run even if they are cached.
        verify: Read all cached files and compare their digests.
    """
    try:
        with cancellable():
            return run_pipeline(
                preset=preset,
                overrides=overrides,
                settings=settings.model_dump(mode="json"),
                data=data or None,
                storage=storage_place(storage),
                selection=Selection(start, until, frozenset(force)),
                verify=verify,
                reporter=current_reporter(),
            )
    except KeyboardInterrupt:
        return interrupted()


def stage_flow(stage: str) -> Flow[..., Any]:
    """Return the flow that runs one stage, with earlier stages from the cache."""

    @flow(
        name=stage,
        description=f"Run only the stage {stage}; earlier stages must be cached.",
        validate_parameters=True,
    )
    def run_stage(
        preset: PresetName = "sample",
        data: str | None = None,
        storage: str | None = None,
        settings: PipelineForm = PipelineForm(),  # noqa: B008
        overrides: list[str] = [],  # noqa: B006
        rerun: bool = False,
        verify: bool = False,
    ) -> RunResult | State[Any]:
        """Run one stage.

        Args:
            preset: A preset's name, or the path of a YAML file.
            data: Folder or URL of review files; empty for the preset's generated reviews.
            storage: Storage folder or URL; empty for SENTIMENT_STORAGE, else ./storage.
            settings: Settings that replace the preset's; empty ones keep the preset's value.
            overrides: Settings that win over all others, such as train.epochs=3.
            rerun: Run even if the result is cached.
            verify: Read all cached files and compare their digests.
        """
        force = [stage] if rerun else []
        result: RunResult | State[Any] = pipeline.fn(
            preset, data, storage, settings, overrides, stage, stage, force, verify
        )
        return result

    return run_stage


ingest = stage_flow("ingest")
tokenize = stage_flow("tokenize")
vocabulary = stage_flow("vocabulary")
tensors = stage_flow("tensors")
train = stage_flow("train")
evaluate = stage_flow("evaluate")
baseline = stage_flow("baseline")
duplicates = stage_flow("duplicates")
promote = stage_flow("promote")
report = stage_flow("report")
