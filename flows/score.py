"""The flow ``score``: score files of reviews."""

from pathlib import Path
from typing import Annotated, Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from pydantic import Field

from flows.config.presets import storage_place
from flows.ui.reporters import LogReporter, reporting
from flows.ui.score_summary import scores_markdown, warnings_of
from sentiment.scoring.inputs import ScoreConfig
from sentiment.scoring.score_files import check_bad_rows, score_files
from tasks.registry.in_use import bundle_at


@flow(name="score", validate_parameters=True)
def score(
    files: Annotated[list[str], Field(min_length=1)],
    out: str,
    model: str | None = None,
    storage: str | None = None,
    settings: ScoreConfig = ScoreConfig(),  # noqa: B008
    force: bool = False,
) -> dict[str, Any]:
    """Score files of reviews; an interrupted run resumes.

    Args:
        files: Files of reviews to score.
        out: Output folder; rerun with the same one to resume.
        model: Model bundle, or a champion's name; empty for the champion, else the latest model.
        storage: Storage folder or URL; empty for SENTIMENT_STORAGE, else ./storage.
        settings: What to read and write, and when to warn of drift.
        force: Overwrite scores made with another model or input, or other settings.
    """
    logger = get_run_logger()
    bundle = bundle_at(Path(model) if model else None, storage_place(storage))
    with reporting(LogReporter(logger), "score") as progress:
        summary = score_files(
            [Path(file) for file in files],
            Path(out),
            model=bundle,
            config=settings,
            force=force,
            progress=progress,
        )
    for warning in warnings_of(summary):
        logger.warning(warning)
    create_markdown_artifact(
        scores_markdown(summary), key="scores", description="Metrics of the scored reviews"
    )
    check_bad_rows(summary, Path(out), settings)
    return summary
