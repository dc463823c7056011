"""The command line. Each command loads only what it needs: ``predict`` never loads Prefect."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from sentiment.errors import ConfigError, DataError, SentimentError

app = typer.Typer(
    name="sentiment",
    help="Train an LSTM on labelled reviews, rerun only what changed, and use the model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
output = Console(highlight=False, soft_wrap=True)
messages = Console(stderr=True, highlight=False)

PREDICT_BATCH = 256  # lines

Storage = Annotated[
    Path,
    typer.Option(envvar="SENTIMENT_STORAGE", help="Folder of the cached results and models."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
Preset = Annotated[
    str, typer.Option(help="Preset: sample, article, balanced, or the path of a YAML file.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Replace a setting: train.epochs=3."),
]
Data = Annotated[Path | None, typer.Option(help="Folder with the review files, or one file.")]
Start = Annotated[
    str | None,
    typer.Option(
        "--from", metavar="STAGE", help="First stage to run; those before must be cached."
    ),
]
Only = Annotated[
    str | None,
    typer.Option(metavar="STAGE", help="Run this stage alone; those before must be cached."),
]
Until = Annotated[str | None, typer.Option(metavar="STAGE", help="Last stage to run.")]
Force = Annotated[
    list[str] | None, typer.Option(metavar="STAGE", help="Run this stage even when it is cached.")
]
Runner = Annotated[str | None, typer.Option(help="Spread shards over: threads, processes.")]
Verify = Annotated[
    bool, typer.Option("--verify", help="Read every cached file and compare its digest.")
]
DEFAULT_STORAGE = Path("storage")


@app.callback()
def options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option(help="Show tracebacks and Prefect's log.")] = False,
) -> None:
    """Train an LSTM on labelled reviews, rerun only what changed, and use the model."""
    context.obj = debug


@app.command()
def sample(
    directory: Annotated[Path, typer.Argument(help="Folder to write into.")],
    train: Annotated[int, typer.Option(min=0, help="Lines of train.ft.txt.bz2.")] = 12_000,
    test: Annotated[int, typer.Option(min=0, help="Lines of test.ft.txt.bz2.")] = 3_000,
    seed: Annotated[int, typer.Option(min=0, help="Another seed gives other reviews.")] = 1,
) -> None:
    """Write generated reviews in the Kaggle format, to try the pipeline with."""
    from sentiment.generate import write_sample

    try:
        written = write_sample(directory, train=train, test=test, seed=seed)
    except OSError as error:
        raise DataError(f"{directory}: cannot be written ({error.strerror or error}).") from error
    output.print(f"{written.train}  {written.train_rows:,} generated reviews")
    output.print(f"{written.test}  {written.test_rows:,} generated reviews")


@app.command()
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
    """Run the pipeline: read, tokenize, train, evaluate. Only what changed is done again."""
    first, last = stage_range(start, only, until)
    settings = all_overrides(overrides, runner)
    from flows.config import load_config

    load_config(preset, settings)  # say what is wrong before Prefect takes its seconds to start
    prepare_prefect(debug=context.obj)
    from flows.pipeline import pipeline
    from flows.reporting import LineReporter, LiveReporter, chosen

    chosen.set(LiveReporter(messages) if messages.is_terminal else LineReporter(messages))
    messages.print("starting Prefect ...")
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
        from flows.outcome import outcome_table

        output.print(outcome_table(result, generated=data is None))


@app.command()
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
    """Say what `run` with the same options would do with each stage, and why. Runs nothing."""
    first, last = stage_range(start, only, until)
    from flows.config import load_config
    from flows.decision import Selection
    from flows.plan import make_plan, plan_table
    from flows.walk import Job
    from tasks.store import Store

    job = Job(preset, load_config(preset, all_overrides(overrides, runner)), data, Store(storage))
    job.store.prepare()
    planned = make_plan(job, Selection(first, last, frozenset(force or [])), verify=verify)
    if as_json:
        sys.stdout.write(json.dumps({"stages": [asdict(p) for p in planned]}) + "\n")
    else:
        output.print(plan_table(planned))


@app.command()
def gc(
    keep_runs: Annotated[int, typer.Option(min=1, help="Completed runs whose results stay.")] = 5,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go; keep it.")] = False,
    storage: Storage = DEFAULT_STORAGE,
    as_json: Json = False,
) -> None:
    """Remove results that no recent run and no model in use needs."""
    from tasks.gc import collect
    from tasks.store import Store

    store = Store(storage)
    store.prepare()
    freed = collect(store, keep_runs=keep_runs, dry_run=dry_run)
    size = sum(entry.size for entry in freed)
    if as_json:
        entries = [asdict(entry) for entry in freed]
        sys.stdout.write(json.dumps({"dry_run": dry_run, "bytes": size, "freed": entries}) + "\n")
        return
    for entry in freed:
        output.print(f"{entry.size:>14,} bytes  {entry.path}")
    output.print(f"{size:>14,} bytes  {'would be freed' if dry_run else 'freed'}")


def stage_range(
    start: str | None, only: str | None, until: str | None
) -> tuple[str | None, str | None]:
    """Return the first and the last stage that the options ask for."""
    if only and (start or until):
        raise ConfigError("--only names the one stage to run: leave out --from and --until.")
    return only or start, only or until


def all_overrides(overrides: list[str] | None, runner: str | None) -> list[str]:
    """Return the settings to replace, those with an option of their own included."""
    return [*(overrides or []), *([f"run.runner={runner}"] if runner else [])]


@app.command()
def predict(
    texts: Annotated[
        list[str] | None, typer.Argument(help="Texts; without any, lines from standard input.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Model bundle; the latest trained one by default.")
    ] = None,
    storage: Storage = DEFAULT_STORAGE,
    as_json: Json = False,
) -> None:
    """Say whether texts are negative or positive, and how probable positive is.

    A line of output for each text; with --json an object {text, label, probability}, where
    probability is that of positive.
    """
    from sentiment import Classifier

    bundle = model or storage / "models" / "latest"
    classifier = Classifier.load(bundle)
    empty = 0
    lines = iter(texts) if texts else (line.rstrip("\r\n") for line in sys.stdin)
    while batch := list(islice(lines, PREDICT_BATCH)):
        for text, chance in zip(batch, classifier.predict_proba(batch), strict=True):
            if not text.strip():
                empty += 1
            print_prediction(text, float(chance), as_json)
    if empty:
        messages.print(f"{empty:,} empty texts have no prediction.", style="yellow")


def print_prediction(text: str, chance: float, as_json: bool) -> None:
    """Print one prediction; an empty text has none, but keeps its line."""
    known = bool(text.strip())
    label = ("negative", "positive")[chance >= 0.5] if known else None
    if as_json:
        entry = {"text": text, "label": label, "probability": chance if known else None}
        sys.stdout.write(json.dumps(entry, ensure_ascii=False) + "\n")
    else:
        shown = f"{chance:.3f}" if known else "-"
        sys.stdout.write(f"{label or 'empty':<8}  P(positive) {shown:>5}  {text}\n")


@app.command()
def doctor(storage: Storage = DEFAULT_STORAGE, as_json: Json = False) -> None:
    """Check the installation: libraries, device, NLTK's data, storage, Prefect's server."""
    from flows.doctor import checks_table, run_checks

    checks = run_checks(storage)
    if as_json:
        sys.stdout.write(json.dumps([check._asdict() for check in checks]) + "\n")
    else:
        output.print(checks_table(checks))
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


def prepare_prefect(*, debug: bool) -> None:
    """Set Prefect's defaults for a run from the command line; the user's own settings win."""
    for name, value in {
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "INFO" if debug else "CRITICAL",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "90",
    }.items():
        os.environ.setdefault(name, value)


@contextmanager
def plain_errors(debug: bool) -> Iterator[None]:
    """Turn the project's errors into a message and exit status 1."""
    try:
        yield
    except SentimentError as error:
        if debug:
            raise
        messages.print(f"Error: {error}", style="bold red", soft_wrap=True, markup=False)
        raise SystemExit(1) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        messages.print("Interrupted. Run the same command again to go on.", style="yellow")
        raise SystemExit(130) from None


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line."""
    given = sys.argv[1:] if arguments is None else arguments
    with plain_errors(debug="--debug" in given):
        return app(given)
