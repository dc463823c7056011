"""``sentiment download``."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import messages, output


class Source(StrEnum):
    """Where the reviews are fetched from."""

    kaggle = "kaggle"
    huggingface = "huggingface"


def download(
    directory: Annotated[
        Path | None, typer.Argument(help="Folder of their own; reviews/SOURCE by default.")
    ] = None,
    source: Annotated[
        Source, typer.Option(help="kaggle: 0.5 GB, fastText lines. huggingface: 1.1 GB, Parquet.")
    ] = Source.huggingface,
) -> None:
    """Fetch the Amazon polarity reviews: 3.6 million to train with, 400,000 to test with.

    A broken download goes on where it stopped; sizes and digests are checked.
    """
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from sentiment.data.download import download as fetch
    from sentiment.data.hubs import hugging_face, kaggle

    hub = (kaggle if source is Source.kaggle else hugging_face)(os.environ)
    folder = directory or Path("reviews") / source.value
    messages.print(f"fetching from {hub.page}")
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=messages, disable=not messages.is_terminal) as bars:
        shown: dict[str, object] = {}

        def listen(name: str, here: int, total: int | None) -> None:
            if name not in shown:
                shown[name] = bars.add_task(name, total=total)
            bars.update(shown[name], completed=here)  # type: ignore[arg-type]

        fetched = fetch(hub, folder, listen=listen)
    for file in fetched:
        done = "fetched" if file.new else "there already"
        output.print(f"{file.path}  {file.size:,} bytes, {done}, checked by {file.checked}")
    output.print(f"Next: sentiment run --preset balanced --data {folder}")
