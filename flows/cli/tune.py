"""``sentiment tune``."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli.options import (
    DEFAULT_STORAGE,
    Column,
    Data,
    Encoding,
    Json,
    LabelColumn,
    Overrides,
    Preset,
    Separator,
    Storage,
    messages,
    output,
    table_overrides,
)
from flows.server.ephemeral import prepare_prefect, start_server
from sentiment.errors import ConfigError


def tune(
    context: typer.Context,
    preset: Preset = "sample",
    data: Data = None,
    column: Column = None,
    label_column: LabelColumn = None,
    separator: Separator = None,
    encoding: Encoding = None,
    overrides: Overrides = None,
    trials: Annotated[int, typer.Option(min=1, help="Total number of trials.")] = 20,
    timeout: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Start no further trial after this time."),
    ] = None,
    study: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the study; PRESET-tuned by default.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Preset file to write; STUDY.yaml by default.")
    ] = None,
    storage: Storage = DEFAULT_STORAGE,
    as_json: Json = False,
) -> None:
    """Search settings for the lowest validation loss.

    The preset's section `tune` names what to search; the best settings become a new preset.
    Interrupted? Run the same command to resume.

    Needs the extra: pip install -c constraints.txt -e '.[tune]'.
    """
    from flows.config.presets import load_config

    tables = table_overrides("ingest.", column, label_column, separator, encoding)
    settings = [*tables, *(overrides or [])]
    load_config(preset, settings)  # report mistakes before Prefect starts
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise ConfigError(
            "tune needs Optuna: pip install -c constraints.txt -e '.[tune]'"
        ) from None
    messages.print("starting Prefect ...")
    prepare_prefect(debug=context.obj)
    server = start_server()
    from flows.run.interruption import interruptible
    from flows.tune import tune as search
    from flows.ui.reporters import LineReporter, LiveReporter, chosen
    from tasks.store.place import resolved

    chosen.set(LiveReporter(messages) if messages.is_terminal else LineReporter(messages))
    with server(), interruptible():
        result: Any = search(
            preset=preset,
            data=resolved(data) if data else None,
            storage=resolved(storage),
            overrides=settings,
            trials=trials,
            timeout=timeout,
            study=study,
            out=str(out) if out else None,
        )
    if as_json:
        sys.stdout.write(json.dumps(result) + "\n")
        return
    counts = ", ".join(f"{number} {state}" for state, number in result["trials"].items())
    output.print(f"trials     {counts}")
    output.print(
        f"best       trial {result['best']}: validation loss {result['validation_loss']:.4f}, "
        f"accuracy {result['validation_accuracy']:.4f}"
    )
    output.print(f"report     {result['report']}")
    output.print(f"preset     {result['preset']}")
    output.print(f"Next: sentiment run --preset {result['preset']}{f' --data {data}' * bool(data)}")
