"""What a run leaves in the Prefect UI."""

from pathlib import Path

from prefect.artifacts import create_markdown_artifact


def publish_report(markdown: Path) -> None:
    """Show the report's figures as a markdown artifact of the flow run."""
    create_markdown_artifact(
        markdown.read_text(encoding="utf-8"),
        key="evaluation",
        description="Figures of the model on the test reviews",
    )
