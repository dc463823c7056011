"""``sentiment run`` and ``sentiment plan``, with the same options."""

import json
import sys
from dataclasses import asdict

import typer

from flows.cli.options import (
    DEFAULT_STORAGE,
    Data,
    Force,
    Json,
    Only,
    Overrides,
    Preset,
    Runner,
    Start,
    Storage,
    Until,
    Verify,
    messages,
    output,
)
from flows.server.ephemeral import prepare_prefect, start_server
from sentiment.errors import ConfigError


def run(
    context: typer.Context,
    preset: Preset = "sample",
    data: Data = None,
    overrides: Overrides = None,
    start: Start = None,
    only: Only = None,
    until: Until = None,
    force: Force = None,
    runner: Runner = None,
    verify: Verify = False,
    storage: Storage = DEFAULT_STORAGE,
    as_json: Json = False,
) -> None:
    """Run the pipeline; rerun only what changed.

    Stages: ingest, tokenize, vocabulary, tensors, train, evaluate, baseline, duplicates, promote,
    report. `sentiment settings` lists what --set takes.
    """
    first, last = stage_range(start, only, until)
    settings = all_overrides(overrides, runner)
    # Report mistakes first: Prefect takes seconds to start.
    from flows.config.presets import load_config
    from flows.run.decision import Selection
    from tasks.run.spec import RunSpec
    from tasks.store import Store

    spec = RunSpec(preset, load_config(preset, settings), data, Store(storage))
    Selection(first, last, frozenset(force or []))
    spec.check()
    messages.print("starting Prefect ...")
    prepare_prefect(debug=context.obj)
    server = start_server()
    from flows.pipeline import pipeline
    from flows.ui.reporters import LineReporter, LiveReporter, chosen

    chosen.set(LiveReporter(messages) if messages.is_terminal else LineReporter(messages))
    with server():
        result = pipeline(
            preset=preset,
            data=str(data.resolve()) if data else None,
            storage=str(storage.resolve()),
            overrides=settings,
            start=first,
            until=last,
            force=force or [],
            verify=verify,
        )
    if as_json:
        sys.stdout.write(json.dumps(result) + "\n")
    else:
        from flows.ui.run_summary import result_table

        output.print(result_table(result, generated=data is None))


def plan(
    preset: Preset = "sample",
    data: Data = None,
    overrides: Overrides = None,
    start: Start = None,
    only: Only = None,
    until: Until = None,
    force: Force = None,
    runner: Runner = None,
    verify: Verify = False,
    storage: Storage = DEFAULT_STORAGE,
    as_json: Json = False,
) -> None:
    """Show what `run` would do with each stage, and why. Runs nothing.

    Stages: ingest, tokenize, vocabulary, tensors, train, evaluate, baseline, duplicates, promote,
    report. `sentiment settings` lists what --set takes.
    """
    first, last = stage_range(start, only, until)
    from flows.config.presets import load_config
    from flows.run.decision import Selection
    from flows.run.plan import make_plan, plan_table
    from tasks.run.spec import RunSpec
    from tasks.store import Store

    spec = RunSpec(
        preset, load_config(preset, all_overrides(overrides, runner)), data, Store(storage)
    )
    spec.store.open()
    planned = make_plan(spec, Selection(first, last, frozenset(force or [])), verify=verify)
    if as_json:
        sys.stdout.write(json.dumps({"stages": [asdict(p) for p in planned]}) + "\n")
    else:
        output.print(plan_table(planned))


def stage_range(
    start: str | None, only: str | None, until: str | None
) -> tuple[str | None, str | None]:
    """Return the first and the last stage to run."""
    if only and (start or until):
        raise ConfigError("--only names the one stage to run: leave out --from and --until.")
    return only or start, only or until


def all_overrides(overrides: list[str] | None, runner: str | None) -> list[str]:
    """Return all overrides, including that of ``--runner``."""
    return [*(overrides or []), *([f"run.runner={runner}"] if runner else [])]
