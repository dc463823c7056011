"""``sentiment download``."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import messages, output


class HubName(StrEnum):
    """Where to download from."""

    kaggle = "kaggle"
    huggingface = "huggingface"


def download(
    directory: Annotated[
        Path | None,
        typer.Argument(help="Folder for these reviews only; reviews/SOURCE by default."),
    ] = None,
    source: Annotated[
        HubName, typer.Option(help="kaggle: 0.5 GB, fastText lines. huggingface: 1.1 GB, Parquet.")
    ] = HubName.huggingface,
) -> None:
    """Download the Amazon polarity reviews.

    3.6 million for training, 400,000 for testing. Sizes and digests are checked. Interrupted? Run
    the same command to resume.
    """
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from sentiment.data.download import download as fetch
    from sentiment.data.hubs import hugging_face, kaggle

    hub = (kaggle if source is HubName.kaggle else hugging_face)(os.environ)
    folder = directory or Path("reviews") / source.value
    messages.print(f"downloading from {hub.page}")
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=messages, disable=not messages.is_terminal) as bars:
        shown: dict[str, object] = {}

        def listen(name: str, here: int, total: int | None) -> None:
            if name not in shown:
                shown[name] = bars.add_task(name, total=total)
            bars.update(shown[name], completed=here)  # type: ignore[arg-type]

        fetched = fetch(hub, folder, listen=listen)
    for file in fetched:
        done = "downloaded" if file.new else "already there"
        output.print(f"{file.path}  {file.size:,} bytes, {done}, checked by {file.checked}")
    output.print(f"Next: sentiment run --preset balanced --data {folder}")
