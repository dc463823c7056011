"""Options, consoles and the kinds of command that the commands share."""

import sys
from collections.abc import Sequence
from pathlib import Path
from shutil import get_terminal_size
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from typer import rich_utils
from typer.core import TyperCommand, TyperGroup

from sentiment.model.registry import OF_GENERATED

WIDEST = 100  # columns of help and long texts, however wide the terminal
# Without markup: a name such as train[new].csv is not a style.
output = Console(highlight=False, markup=False, soft_wrap=True)
messages = Console(stderr=True, highlight=False, markup=False)


def show(table: Table) -> None:
    """Print a table; in a file or a pipe without its box, and with every row in one line."""
    if output.is_terminal:
        output.print(table)
        return
    table.box = None
    wide = Console(highlight=False, markup=False, width=10_000)
    with wide.capture() as printed:
        wide.print(table)
    for line in printed.get().splitlines():
        sys.stdout.write(f"{line.rstrip()}\n")


class Readable:
    """A command whose help is no wider than can be read, and shows a flag without a type."""

    def get_params(self, ctx: Any) -> list[Any]:
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if getattr(param, "is_flag", False):
                param.metavar = ""
        return params

    def format_help(self, ctx: Any, formatter: Any) -> None:
        rich_utils.MAX_WIDTH = min(WIDEST, get_terminal_size().columns)
        super().format_help(ctx, formatter)  # type: ignore[misc]


class Command(Readable, TyperCommand):
    """One command."""


class Group(Readable, TyperGroup):
    """Commands under one name."""


class StageCommand(Command):
    """A command with options that take a stage; its help lists the stages."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from flows.steps import STAGE_NAMES

        self.epilog = f"Stages: {', '.join(STAGE_NAMES)}."
        super().format_help(ctx, formatter)


class TextCommand(Command):
    """A command that takes texts, which may begin with a dash as options do."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            if hasattr(error, "possibilities"):  # typer's NoSuchOption has no public name
                given = f"{error.message}. If it is a text,"  # type: ignore[attr-defined]
                error.message = f"{given} Write: {ctx.command_path} -- TEXT"  # type: ignore[attr-defined]
            raise


DEFAULT_STORAGE = "storage"


def warn_of_generated(generated: bool) -> None:
    """Say in a line that the model in use was trained on generated reviews, if it was."""
    if generated:
        messages.print(f"Warning: {OF_GENERATED}", style="yellow", soft_wrap=True)


Storage = Annotated[
    str,
    typer.Option(
        envvar="SENTIMENT_STORAGE",
        help="Folder of cached results and models, or remote storage, such as s3://bucket/folder.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
Preset = Annotated[
    str,
    typer.Option(
        help="Preset: sample, linear, small, balanced, gpu, article, or the path of a YAML file."
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Replace a setting, such as train.epochs=3."),
]


def not_empty(value: str | None) -> str | None:
    """Refuse an empty option, which a variable that is not set leaves."""
    if value == "":
        raise typer.BadParameter("is empty. Is a variable not set?")
    return value


Data = Annotated[
    str | None,
    typer.Option(
        callback=not_empty, help="Folder with the review files, or one file; or their URL."
    ),
]
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
    str | None,
    typer.Option(help="How shards are executed: threads, processes, dask, or dask://HOST:PORT."),
]
Champion = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Champion that the model may replace: sets promote.champion."
    ),
]
Verify = Annotated[bool, typer.Option("--verify", help="Check the digest of every cached file.")]
Column = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="Text column of a table (repeat to join several)."),
]
LabelColumn = Annotated[str | None, typer.Option(metavar="NAME", help="Label column of a table.")]
Separator = Annotated[
    str | None,
    typer.Option(metavar="CHAR", help="Field separator of .csv and .tsv; detected by default."),
]
Encoding = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Encoding of text files, such as latin-1 (default: UTF-8)."),
]
Model = Annotated[
    Path | None,
    typer.Option(
        help="Model bundle: its folder, a champion's name, or the start of a model's key; by "
        "default the champion, else the latest model."
    ),
]


def table_overrides(
    section: str,
    column: Sequence[str] | None,
    label_column: str | None,
    separator: str | None,
    encoding: str | None,
) -> list[str]:
    """Return the options of reading tables as overrides of a section's settings."""
    from flows.config.presets import as_overrides

    given = {
        "columns": list(column) if column else None,
        "label_column": label_column,
        "separator": separator,
        "encoding": encoding,
    }
    return as_overrides({f"{section}{name}": value for name, value in given.items()})
