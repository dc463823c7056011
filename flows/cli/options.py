"""Options and consoles shared by the commands."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

output = Console(highlight=False, soft_wrap=True)
messages = Console(stderr=True, highlight=False)

DEFAULT_STORAGE = Path("storage")

Storage = Annotated[
    Path,
    typer.Option(envvar="SENTIMENT_STORAGE", help="Folder of cached results and models."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
Preset = Annotated[
    str, typer.Option(help="Preset: sample, balanced, gpu, article, or the path of a YAML file.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Replace a setting, such as train.epochs=3."),
]
Data = Annotated[Path | None, typer.Option(help="Folder with the review files, or one file.")]
Start = Annotated[
    str | None,
    typer.Option(
        "--from", metavar="STAGE", help="First stage to run; earlier stages must be cached."
    ),
]
Only = Annotated[
    str | None,
    typer.Option(metavar="STAGE", help="Run this stage alone; earlier stages must be cached."),
]
Until = Annotated[str | None, typer.Option(metavar="STAGE", help="Last stage to run.")]
Force = Annotated[
    list[str] | None, typer.Option(metavar="STAGE", help="Run this stage even if it is cached.")
]
Runner = Annotated[
    str | None, typer.Option(help="What runs the shards: threads, processes or dask.")
]
Verify = Annotated[bool, typer.Option("--verify", help="Check the digest of every cached file.")]
Model = Annotated[
    Path | None,
    typer.Option(help="Model bundle; by default the champion, else the latest model."),
]
