"""An Optuna study that can be interrupted at any moment and resumed.

A trial's settings depend only on the trials before it, so an interrupted study ends like any other.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from flows.config.search_space import takes_whole_numbers
from sentiment.errors import ConfigError
from sentiment.reports.study_page import StudyTrial
from tasks.run.config import Dimension, PipelineConfig, Scalar

ABOUT, ERROR, VALUES = "about", "error", "values"
DIGITS = 4  # significant ones of a number that is tried
STARTUP = 5  # trials that are never pruned: the median needs some


def open_study(folder: Path, name: str, about: Mapping[str, str]) -> optuna.Study:
    """Return the study of this name, created if need be; the caller holds its lock.

    ``about`` holds digests of what all trials share. Raises ConfigError if the study was started
    with others. An interrupted trial is repeated first.
    """
    if not re.fullmatch(r"[\w.-]+", name):
        raise ConfigError(f"--study {name}: use letters, digits, '.', '-' and '_' only.")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        study_name=name,
        storage=f"sqlite:///{folder / name}.db",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP),
        load_if_exists=True,
    )
    known = study.user_attrs.get(ABOUT)
    if known is None:
        study.set_user_attr(ABOUT, dict(about))
    elif known != about:
        changed = ", ".join(part for part in about if known.get(part) != about[part])
        raise ConfigError(
            f"The study {name} was started with something else ({changed}), so its trials cannot "
            f"be compared with new ones. Choose another name with --study, or remove "
            f"{folder / name}.db."
        )
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params)
    return study


def finished(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that were not interrupted, in order."""
    ended = (TrialState.COMPLETE, TrialState.PRUNED)
    return [t for t in study.trials if t.state in ended or ERROR in t.user_attrs]


def next_trial(study: optuna.Study, space: Mapping[str, Dimension]) -> tuple[Trial, dict[str, Any]]:
    """Return a new trial and its settings, by their paths; numbers have few digits."""
    study.sampler = optuna.samplers.TPESampler(seed=len(finished(study)))
    trial = study.ask()
    values = {
        path: rounded(suggest(trial, path, dimension), dimension)
        for path, dimension in space.items()
    }
    trial.set_user_attr(VALUES, values)
    return trial, values


def rounded(value: Scalar, dimension: Dimension) -> Scalar:
    """Return a number with ``DIGITS`` significant digits, within its limits; others as they are."""
    if not isinstance(value, float) or dimension.low is None or dimension.high is None:
        return value
    return min(max(float(f"{value:.{DIGITS}g}"), float(dimension.low)), float(dimension.high))


def suggest(trial: Trial, path: str, dimension: Dimension) -> Scalar:
    """Let a trial choose a setting's value."""
    low, high, step = dimension.low, dimension.high, dimension.step
    if low is None or high is None:
        return trial.suggest_categorical(path, dimension.choices or ())
    if takes_whole_numbers(PipelineConfig, path):
        return trial.suggest_int(path, int(low), int(high), step=int(step or 1), log=dimension.log)
    return trial.suggest_float(path, low, high, step=step, log=dimension.log)


class PruningCallback:
    """A ``Progress`` that reports each validation loss to a trial, and prunes poor training.

    Raises optuna.TrialPruned when the loss is above the trials' median at this point.
    """

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._reported: set[int] = set()

    def __call__(self, done: int, total: int | None = None, **metrics: float) -> None:
        place = int(metrics.get("validations", 0))
        if place and place not in self._reported:
            self.report(place, metrics["validation_loss"])
            if done != total and self._trial.should_prune():
                raise optuna.TrialPruned(
                    f"pruned at {done:,} of {total or 0:,} reviews, "
                    f"validation loss {metrics['validation_loss']:.4f}"
                )

    def report(self, place: int, loss: float) -> None:
        """Report the loss of a validation once; ``place`` counts from 1."""
        if place not in self._reported:
            self._reported.add(place)
            self._trial.report(loss, place)


def summary(study: optuna.Study) -> list[StudyTrial]:
    """Return the finished trials, numbered from 1, as the report takes them."""
    return [
        StudyTrial(
            number=number,
            state="failed" if ERROR in trial.user_attrs else trial.state.name.lower(),
            loss=trial.value,
            accuracy=trial.user_attrs.get("validation_accuracy"),
            seconds=trial.user_attrs.get("seconds"),
            values=trial.user_attrs.get(VALUES, trial.params),  # as they were trained
            losses=[
                trial.intermediate_values[place] for place in sorted(trial.intermediate_values)
            ],
            note=trial.user_attrs.get(ERROR, ""),
        )
        for number, trial in enumerate(finished(study), 1)
    ]


def importances(study: optuna.Study) -> dict[str, float]:
    """Return each setting's importance for the loss, as shares of 1; empty with too few trials."""
    losses = {trial.value for trial in study.get_trials(states=(TrialState.COMPLETE,))}
    if len(losses) < 3:
        return {}
    return dict(optuna.importance.get_param_importances(study))
