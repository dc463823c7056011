"""The flow ``score``: whole files of reviews become Parquet files of scores."""

from pathlib import Path
from typing import Annotated, Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from pydantic import Field

from flows.config.presets import storage_root
from flows.ui.reporters import LogReporter, reporting
from flows.ui.score_summary import scores_markdown, warnings_of
from sentiment.model.registry import model_folder
from sentiment.scoring.inputs import ScoreConfig
from sentiment.scoring.score_files import score_files


@flow(name="score", validate_parameters=True)
def score(
    files: Annotated[list[str], Field(min_length=1)],
    out: str,
    model: str | None = None,
    storage: str | None = None,
    settings: ScoreConfig = ScoreConfig(),  # noqa: B008
    force: bool = False,
) -> dict[str, Any]:
    """Score whole files of reviews; a run that was stopped goes on.

    Args:
        files: Files of reviews to score.
        out: Folder of the scores; the same one goes on.
        model: Model bundle; empty for the champion, else the latest trained one.
        storage: Storage folder; empty for SENTIMENT_STORAGE, else ./storage.
        settings: What is read, what is written, when drift is warned of.
        force: Replace scores made from something else.
    """
    logger = get_run_logger()
    bundle = model_folder(Path(model) if model else None, storage_root(storage))
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
        scores_markdown(summary), key="scores", description="Figures of the scored reviews"
    )
    return summary
