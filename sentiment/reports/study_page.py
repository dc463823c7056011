"""A search for better settings as one self-contained HTML page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from sentiment.reports import study_charts

TEMPLATE = Path(__file__).parent / "templates" / "study.html.j2"


@dataclass(frozen=True)
class Trial:
    """One training with settings of its own: ``values`` by path.

    ``state`` is complete, pruned or failed. ``loss`` (nats) and ``accuracy`` are the best on the
    validation reviews, for a pruned trial the last loss; ``losses`` are all of its validations.
    """

    number: int
    state: str
    loss: float | None
    accuracy: float | None
    seconds: float | None
    values: Mapping[str, Any]
    losses: Sequence[float]
    note: str = ""


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """Return the complete trial of the lowest loss, the first of several."""
    complete = [trial for trial in trials if trial.state == "complete" and trial.loss is not None]
    return min(complete, key=lambda trial: (trial.loss, trial.number), default=None)


def render_study(
    name: str, trials: Sequence[Trial], importances: Mapping[str, float], facts: Mapping[str, str]
) -> str:
    """Return the page: what was best, how the search went, what mattered, every trial.

    ``importances`` are shares of 1 by path, empty where there are too few trials.
    """
    best = best_of(trials)
    paths = list(dict.fromkeys(path for trial in trials for path in trial.values))
    drawn = {}
    if best is not None:
        drawn["history"] = study_charts.history(trials)
        drawn["slices"] = study_charts.slices(trials, paths)
    if importances:
        drawn["importances"] = study_charts.importances(importances)
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        name=name,
        best=best,
        trials=trials,
        paths=paths,
        facts=facts,
        figures={key: Markup(svg) for key, svg in drawn.items()},  # our own words and numbers
        shown=shown,
    )


def shown(value: Any) -> str:
    """Return a setting's value as a person reads it."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
