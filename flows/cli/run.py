"""``sentiment run`` and ``sentiment plan``, with the same options."""

import json
import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.options import (
    DEFAULT_STORAGE,
    Champion,
    Column,
    Data,
    Encoding,
    Force,
    Json,
    LabelColumn,
    Only,
    Overrides,
    Preset,
    Runner,
    Separator,
    Start,
    Storage,
    Until,
    Verify,
    messages,
    output,
    show,
    table_overrides,
)
from flows.server.ephemeral import may_name_server, prepare_prefect, start_server
from sentiment.errors import ConfigError, GateError

if TYPE_CHECKING:
    from flows.run.decision import Selection
    from flows.ui.reporters import Reporter
    from flows.ui.run_summary import RunResult
    from tasks.run.spec import RunSpec

TO_RUN = 3  # 1 is an error, 2 a wrong option


def run(
    context: typer.Context,
    preset: Preset = "sample",
    data: Data = None,
    column: Column = None,
    label_column: LabelColumn = None,
    separator: Separator = None,
    encoding: Encoding = None,
    overrides: Overrides = None,
    start: Start = None,
    only: Only = None,
    until: Until = None,
    force: Force = None,
    runner: Runner = None,
    champion: Champion = None,
    verify: Verify = False,
    storage: Storage = DEFAULT_STORAGE,
    as_json: Json = False,
) -> None:
    """Run the pipeline; rerun only what changed.

    `sentiment settings` lists what --set takes.
    """
    first, last = stage_range(start, only, until)
    tables = table_overrides("ingest.", column, label_column, separator, encoding)
    settings = all_overrides([*tables, *(overrides or [])], runner, champion)
    # Prefect takes seconds to start: first find the mistakes, and whether there is anything to do.
    from flows.config.presets import load_config
    from flows.run.decision import Selection
    from flows.run.plan import look_ahead
    from flows.ui.reporters import LineReporter, LiveReporter, chosen
    from tasks.run.spec import RunSpec
    from tasks.store import Store
    from tasks.store.place import resolved

    spec = RunSpec(preset, load_config(preset, settings), data, Store.at(storage), settings)
    selection = Selection(first, last, frozenset(force or []))
    spec.store.open()
    # Reviews are generated only to find out whether the first stage may be that.
    ahead = look_ahead(spec, selection, verify=verify, generate=first is not None)
    reporter = LiveReporter(messages) if messages.is_terminal else LineReporter(messages)
    result: Any = None
    try:
        if ahead.nothing_to_do and not may_name_server():
            result = run_without_prefect(spec, selection, reporter)
        if result is None:
            messages.print("starting Prefect ...")
            prepare_prefect(debug=context.obj)
            server = start_server()
            from flows.pipeline import pipeline
            from flows.run.interruption import interruptible

            chosen.set(reporter)
            with server(), interruptible():
                result = pipeline(
                    preset=preset,
                    data=resolved(data) if data else None,
                    storage=spec.store.place(),
                    overrides=settings,
                    start=first,
                    until=last,
                    force=force or [],
                    verify=verify,
                )
    except GateError as error:
        _show(error.result, as_json, generated=data is None)
        raise GateError(f"{error}\n{same_command(context, error.accept)}") from error
    _show(result, as_json, generated=data is None)


def _show(result: Any, as_json: bool, *, generated: bool) -> None:
    """Print a ``RunResult``."""
    if as_json:
        sys.stdout.write(json.dumps(result) + "\n")
    else:
        from flows.ui.run_summary import result_table

        show(result_table(result, generated=generated))


def same_command(context: typer.Context, overrides: Sequence[str]) -> str:
    """Return the command that was given, with more overrides and without ``--force``."""
    words = ["sentiment", str(context.info_name)]
    for option in context.command.params:
        source = context.get_parameter_source(option.name or "")
        if option.name == "force" or source is None or source.name != "COMMANDLINE":
            continue
        value = context.params[option.name or ""]
        if value is True:
            words.append(option.opts[0])
        else:
            for each in value if isinstance(value, list | tuple) else [value]:
                if option.name != "overrides" or not _replaced(str(each), overrides):
                    words += [option.opts[0], str(each)]
    return shlex.join([*words, *(word for each in overrides for word in ("--set", each))])


def _replaced(override: str, others: Sequence[str]) -> bool:
    return override.partition("=")[0].strip() in {other.partition("=")[0] for other in others}


def run_without_prefect(
    spec: "RunSpec", selection: "Selection", reporter: "Reporter"
) -> "RunResult | None":
    """Run what is all cached, in this process; None if there is something to do after all."""
    from flows.run.execution import run_pipeline
    from flows.run.stage import NotCachedError
    from tasks.store.place import resolved

    with suppress(NotCachedError):
        return run_pipeline(
            preset=spec.preset,
            overrides=spec.overrides,
            settings={},
            data=resolved(spec.data) if spec.data else None,
            storage=spec.store.place(),
            selection=selection,
            verify=False,  # as just done, if asked for
            reporter=reporter,
            in_prefect=False,
        )
    return None


def plan(
    preset: Preset = "sample",
    data: Data = None,
    column: Column = None,
    label_column: LabelColumn = None,
    separator: Separator = None,
    encoding: Encoding = None,
    overrides: Overrides = None,
    start: Start = None,
    only: Only = None,
    until: Until = None,
    force: Force = None,
    runner: Runner = None,
    champion: Champion = None,
    verify: Verify = False,
    storage: Storage = DEFAULT_STORAGE,
    as_json: Json = False,
    exit_code: Annotated[
        bool,
        typer.Option(
            "--exit-code", help=f"Exit with {TO_RUN} if a run would do something, else with 0."
        ),
    ] = False,
    train_request: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the training job to FILE, for `train-request` (see docs/training.md); "
            "the stages before `train` must be cached.",
        ),
    ] = None,
) -> None:
    """Show what `run` would do with each stage, and why. At most reviews are generated for it.

    `sentiment settings` lists what --set takes.
    """
    first, last = stage_range(start, only, until)
    tables = table_overrides("ingest.", column, label_column, separator, encoding)
    settings = all_overrides([*tables, *(overrides or [])], runner, champion)
    from flows.config.presets import load_config
    from flows.run.decision import Selection
    from flows.run.plan import look_ahead, plan_table
    from tasks.run.spec import RunSpec
    from tasks.store import Store

    spec = RunSpec(preset, load_config(preset, settings), data, Store.at(storage), settings)
    spec.store.open()
    ahead = look_ahead(spec, Selection(first, last, frozenset(force or [])), verify=verify)
    if as_json:
        sys.stdout.write(json.dumps({"stages": [asdict(p) for p in ahead.stages]}) + "\n")
    else:
        show(plan_table(ahead.stages))
        if not ahead.is_settled:
            output.print("The verdict of promote is not carried out yet; a run does that.")
    if train_request is not None:
        from flows.run.request_file import write_request

        write_request(ahead.training_request(), train_request)
        count = spec.config.train.processes
        words = ["torchrun", "--standalone", "--nproc-per-node", str(count), "-m", "flows.cli"]
        words += ["train-request", str(train_request), "--storage", str(storage)]
        messages.print(f"To train: {shlex.join(words)}", soft_wrap=True)
    if exit_code and not ahead.nothing_to_do:
        raise typer.Exit(TO_RUN)


def stage_range(
    start: str | None, only: str | None, until: str | None
) -> tuple[str | None, str | None]:
    """Return the first and the last stage to run."""
    if only and (start or until):
        raise ConfigError("--only names the one stage to run: leave out --from and --until.")
    return only or start, only or until


def all_overrides(
    overrides: list[str] | None, runner: str | None, champion: str | None
) -> list[str]:
    """Return all overrides, including those of ``--runner`` and ``--champion``."""
    from flows.config.presets import as_overrides

    return [*(overrides or []), *as_overrides({"run.runner": runner, "promote.champion": champion})]
