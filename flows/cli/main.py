"""The command line. Each command loads only what it needs: ``predict`` never loads Prefect."""

import atexit
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from gc import freeze
from typing import Annotated, Any

import typer

from flows.cli.compare import compare
from flows.cli.doctor import doctor
from flows.cli.download import download
from flows.cli.explain import explain
from flows.cli.export import export
from flows.cli.gc import gc
from flows.cli.models import models
from flows.cli.options import Command, Group, StageCommand, TextCommand, messages, output
from flows.cli.predict import predict
from flows.cli.run import plan, run
from flows.cli.sample import sample
from flows.cli.score import score
from flows.cli.server import deploy, down, up
from flows.cli.settings import settings
from flows.cli.train_request import train_request
from flows.cli.tune import tune
from flows.server.ephemeral import ServerEndedError, leave
from sentiment import __version__
from sentiment.errors import SentimentError

RESUMABLE = ("download", "run", "score", "train-request", "tune")


class Terminated(KeyboardInterrupt):
    """Somebody asked the command to end with SIGTERM: `timeout`, systemd or `kill`."""


class Commands(Group):
    """The commands. On Ctrl-C or SIGTERM they say how to resume, where typer would not."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            resume = " Run the same command to resume." * (ctx.invoked_subcommand in RESUMABLE)
            messages.print(f"Interrupted.{resume}", style="yellow")
            number = signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT
            raise SystemExit(128 + number) from None


app = typer.Typer(
    name="sentiment",
    cls=Commands,
    help="Train a sentiment model on labelled reviews, rerun only what changed, and use the model.",
    no_args_is_help=True,
    rich_markup_mode="markdown",  # with "rich", '.[onnx]' in a help text would be read as a style
    add_completion=False,
    pretty_exceptions_enable=False,
)


def print_version(wanted: bool) -> None:
    if wanted:
        output.print(f"sentiment {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks and Prefect's log.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=print_version, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Train a sentiment model on labelled reviews, rerun only what changed, and use the model."""
    context.obj = debug


KINDS = {run: StageCommand, plan: StageCommand, predict: TextCommand, explain: TextCommand}
using = (sample, download, run, plan, tune, predict, explain, score, export, compare, gc)
for command in (*using, train_request, settings, up, down, deploy, doctor):
    app.command(cls=KINDS.get(command, Command))(command)
app.add_typer(models)


@contextmanager
def terminable() -> Iterator[None]:
    """Raise Terminated in the block on SIGTERM, which would end this process silently."""
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def terminate(*_: object) -> None:
        raise Terminated

    signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def plain_errors(debug: bool) -> Iterator[None]:
    """Turn the project's errors, and those of the system, into a message and exit status 1."""
    try:
        yield
    except SentimentError as error:
        if debug:
            raise
        messages.print(f"Error: {error}", style="bold red", soft_wrap=True)
        if isinstance(error, ServerEndedError):
            leave()
        raise SystemExit(1) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except OSError as error:
        if debug:
            raise
        where = f"{error.filename}: " if error.filename else ""
        why = f"{where}{error.strerror or error}. `sentiment --debug ...` shows where it arose."
        messages.print(f"Error: {why}", style="bold red", soft_wrap=True)
        raise SystemExit(1) from None


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line."""
    # Otherwise Python spends a second at exit on cycles among what torch and Prefect loaded.
    atexit.register(freeze)
    given = sys.argv[1:] if arguments is None else arguments
    with terminable(), plain_errors(debug="--debug" in given):
        return app(given)
