"""The flow ``tune``: search a preset's settings for the lowest validation loss."""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import optuna
import pyarrow.parquet as pq
import torch
import yaml
from filelock import FileLock, Timeout
from optuna.trial import TrialState
from prefect import State, flow
from prefect.exceptions import CancelledRun
from prefect.states import Cancelled
from pydantic import Field, WithJsonSchema

from flows.config.presets import load_config, preset_schema, storage_place
from flows.config.search_space import with_values
from flows.run.context import RunContext
from flows.run.interruption import cancellable, interrupted
from flows.run.stage import run_stage
from flows.run.stage_timeout import StageTimeoutError
from flows.steps import drive
from flows.study import (
    ERROR,
    PruningCallback,
    finished,
    importances,
    next_trial,
    open_study,
    summary,
)
from flows.ui.reporters import Reporter, current_reporter
from sentiment.errors import ConfigError, StageError, TrainingError
from sentiment.reports.study_page import StudyTrial, best_of, formatted, render_study
from tasks import train
from tasks.gc import STUDIES
from tasks.manifest import Manifest, digest_json
from tasks.registry.card import put_first_card
from tasks.run.config import PipelineConfig
from tasks.run.prefect_task import TaskInput, compute
from tasks.run.spec import RunSpec
from tasks.sources import digest_sources, find_sources
from tasks.stage import Request, Stage
from tasks.store import Store
from tasks.store.atomic import write_atomically, writing_to
from tasks.store.run_records import RunRecord, new_run_id

FAILURES = (
    TrainingError,
    ConfigError,
    StageTimeoutError,
    torch.OutOfMemoryError,
)  # of one trial's settings


@flow(name="tune", validate_parameters=True)
def tune(
    preset: Annotated[str, WithJsonSchema(preset_schema())] = "sample",
    data: str | None = None,
    storage: str | None = None,
    overrides: list[str] = [],  # noqa: B006
    trials: Annotated[int, Field(ge=1)] = 20,
    timeout: float | None = None,
    study: str | None = None,
    out: str | None = None,
) -> dict[str, Any] | State[Any]:
    """Search the settings that the preset's section ``tune`` names for the lowest validation loss.

    A study that was stopped resumes with the same call.

    Args:
        preset: A preset's name, or the path of a YAML file.
        data: Folder or URL of review files; empty for the preset's generated reviews.
        storage: Storage folder or URL; empty for SENTIMENT_STORAGE, else ./storage.
        overrides: Settings that replace the preset's, such as train.epochs=3.
        trials: Total number of trials.
        timeout: Seconds after which no new trial starts.
        study: Name of the study; PRESET-tuned if empty.
        out: Preset file to write; STUDY.yaml if empty.
    """
    name = study_name(preset, study)
    config = load_config(preset, overrides)
    spec = RunSpec(preset, config, data or None, Store.at(storage_place(storage)))
    spec.store.prepare()
    check(config, preset, name, preset_file(name, out))
    folder = spec.store.root / STUDIES
    with writing_to(folder):
        folder.mkdir(exist_ok=True)
    record = RunRecord(spec.store, new_run_id(), **spec.about, study=name)
    try:
        with cancellable(), FileLock(folder / f"{name}.lock", timeout=0):
            opened = open_study(folder, name, about(spec))
            search = _Search(spec, opened, record, preset_file(name, out), trials)
            result = search.go(timeout)
    except Timeout:
        record.finish("failed")
        raise ConfigError(f"Another process is running the study {name}.") from None
    except KeyboardInterrupt as stop:
        record.fail(stop)
        return interrupted()
    except BaseException as error:
        record.fail(error)
        raise
    record.finish("completed")
    return result


def study_name(preset: str, given: str | None) -> str:
    """Return the name of the study."""
    return given or f"{Path(preset).stem}-tuned"


def preset_file(name: str, given: str | None) -> Path:
    """Return the path for the best settings."""
    return Path(given or f"{name}.yaml")


def check(config: PipelineConfig, preset: str, name: str, out: Path) -> None:
    """Raise ConfigError if the study could not find or write the best settings."""
    if not config.tune:
        raise ConfigError(
            f"The preset {preset} has nothing to tune. Give it a section tune, such as\n"
            "  tune:\n    train.learning_rate: {low: 0.0005, high: 0.01, log: true}"
        )
    if out.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"--out {out}: a preset's file ends in .yaml.")
    if out.exists() and not out.read_text(encoding="utf-8").startswith(first_line(name)):
        raise ConfigError(
            f"{out}: exists and does not belong to the study {name}. Choose another --out."
        )


def first_line(name: str) -> str:
    return f"# Found by `sentiment tune`, study {name}:"


def about(spec: RunSpec) -> dict[str, str]:
    """Return digests of what the trials of a study have in common."""
    settings = spec.config.output_settings()
    space = settings.pop("tune")
    other = ("run", "evaluate", "promote")
    shared = {name: value for name, value in settings.items() if name not in other}
    sources = digest_sources(find_sources(spec.data), spec.store) if spec.data else []
    data = [[source.name, source.sha256] for source in sources]
    parts = {"settings": shared, "section tune": space, "data": data}
    return {part: digest_json(value) for part, value in parts.items()}


class _Search:
    """A running study."""

    def __init__(
        self, spec: RunSpec, study: optuna.Study, record: RunRecord, out: Path, trials: int
    ) -> None:
        self._spec, self._study, self._record = spec, study, record
        self._out, self._trials = out, trials
        self._reporter: Reporter = current_reporter()

    def go(self, timeout: float | None) -> dict[str, Any]:
        started = time.monotonic()
        while (done := len(finished(self._study))) < self._trials:
            if timeout is not None and time.monotonic() - started >= timeout:
                self._reporter.note(f"{done} of {self._trials} trials done: time limit reached")
                break
            self._trial(done + 1)
        return self._publish()

    def _trial(self, number: int) -> None:
        trial, values = next_trial(self._study, self._spec.config.tune)
        name = f"trial {number}"
        settings = ", ".join(f"{path} {formatted(value)}" for path, value in values.items())
        self._reporter.note(f"{name:<11}{settings}")
        callback = PruningCallback(trial)
        try:
            config = with_values(self._spec.config, values)
            spec = RunSpec(self._spec.preset, config, self._spec.data, self._spec.store)
            manifest = self._train(spec, name, callback)
        except optuna.TrialPruned as pruned:
            self._study.tell(trial, state=TrialState.PRUNED)
            self._reporter.note(f"{name:<11}{pruned}")
        except FAILURES as error:
            trial.set_user_attr(ERROR, str(error))
            self._study.tell(trial, state=TrialState.FAIL)
            self._reporter.note(f"{name:<11}failed: {error}")
        else:
            put_first_card(spec, manifest)
            stats = manifest.stats
            history = self._spec.store.file(manifest.output("history.parquet"))
            measured = pq.read_table(history).column("validation_loss").drop_null().to_pylist()
            for place, loss in enumerate(measured, 1):  # a cached result has reported none
                callback.report(place, loss)
            trial.set_user_attr("validation_accuracy", stats["validation_accuracy"])
            trial.set_user_attr("seconds", manifest.seconds)
            self._study.tell(trial, stats["validation_loss"])
            self._reporter.note(
                f"{name:<11}validation loss {stats['validation_loss']:.4f}, accuracy "
                f"{stats['validation_accuracy']:.4f}; best so far {self._study.best_value:.4f}"
            )

    def _train(self, spec: RunSpec, title: str, callback: PruningCallback) -> Manifest:
        """Take a trial through the stages up to ``train``; raises TrialPruned."""

        def compute_trial(work: TaskInput) -> str | State[Any]:
            try:
                return compute(work, callback)
            except optuna.TrialPruned as pruned:  # not a failure, so not a red task in the UI
                shutil.rmtree(work.request.checkpoints(work.store.root), ignore_errors=True)
                return Cancelled(name="Pruned", message=str(pruned))

        def answer(stage: Stage, requests: Sequence[Request]) -> list[Manifest]:
            context = RunContext(spec, self._record, self._reporter, quiet=True)
            if stage is not train.STAGE:
                return run_stage(context, stage, requests).manifests
            return run_stage(context, stage, requests, title=title, does=compute_trial).manifests

        try:
            (trained,) = drive(spec, answer, until=train.STAGE.name)[train.STAGE.name]
        except CancelledRun as pruned:
            raise optuna.TrialPruned(str(pruned)) from None
        return trained

    def _publish(self) -> dict[str, Any]:
        """Write the report and the best settings; return the study's result."""
        name, trials = self._study.study_name, summary(self._study)
        report = self._spec.store.root / STUDIES / f"{name}.html"
        details = {
            "preset": self._spec.preset,
            "data": str(self._spec.data or "generated reviews"),
            **{f"trials {state}": str(n) for state, n in counted(trials).items()},
        }
        log = {path for path, dimension in self._spec.config.tune.items() if dimension.log}
        page = render_study(name, trials, importances(self._study), details, log)
        write_atomically(report, page)
        best = best_of(trials)
        if best is None:
            raise StageError(f"No trial of the study {name} completed. See {report}")
        write_atomically(self._out, best_preset(self._spec.config, name, best, len(trials)))
        return {
            "study": name,
            "trials": counted(trials),
            "best": best.number,
            "validation_loss": best.loss,
            "validation_accuracy": best.accuracy,
            "values": dict(best.values),
            "preset": str(self._out),
            "report": str(report),
        }


def counted(trials: Sequence[StudyTrial]) -> dict[str, int]:
    """Count the trials by their states."""
    states = ("complete", "pruned", "failed")
    return {state: sum(trial.state == state for trial in trials) for state in states}


def best_preset(config: PipelineConfig, name: str, best: StudyTrial, trials: int) -> str:
    """Return a preset file with a trial's settings."""
    found = with_values(config, best.values).model_dump(
        mode="json", exclude_unset=True, exclude={"tune"}
    )
    return (
        f"{first_line(name)} trial {best.number} of {trials}.\n"
        f"# Cost: {best.seconds or 0:.0f} s of training.\n"
        f"# Score: validation loss {best.loss:.4f}, validation accuracy {best.accuracy:.4f}; "
        "not measured yet on test reviews.\n"
        f"{yaml.safe_dump(found, sort_keys=False)}"
    )
