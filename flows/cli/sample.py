"""``sentiment sample``."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import output
from sentiment.errors import DataError


def sample(
    directory: Annotated[Path, typer.Argument(help="Folder to write into.")],
    train: Annotated[int, typer.Option(min=0, help="Reviews in train.ft.txt.bz2.")] = 12_000,
    test: Annotated[int, typer.Option(min=0, help="Reviews in test.ft.txt.bz2.")] = 3_000,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 1,
) -> None:
    """Write generated reviews in the Kaggle format, to try the pipeline."""
    from sentiment.data.generate import write_sample

    try:
        paths = write_sample(directory, train=train, test=test, seed=seed)
    except OSError as error:
        raise DataError(f"{directory}: cannot be written ({error.strerror or error}).") from error
    for path, rows in zip(paths, (train, test), strict=True):
        output.print(f"{path}  {rows:,} generated reviews")
