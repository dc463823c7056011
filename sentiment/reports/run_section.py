"""The last section of a report: which run made it, from what, when and on which machine.

The stage writes the report without it, so that equal models have equal reports. Each run adds its
own section to a copy.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup, escape

from sentiment.reports.numbers import interval, percent
from sentiment.reports.pages import render_page

TEMPLATE = Path(__file__).parent / "templates" / "run.html.j2"
PLACE, ABOUT, LINK = "<!-- run -->", "<!-- run: about -->", "<!-- run: link -->"
PAST_HEAD = ("Run (UTC)", "Model", "Accuracy", "95 % interval", "Promoted")
HEAD = ("Stage", "In this run", "Made (UTC)", "Seconds", "Key", "Why")


class StageRow(NamedTuple):
    """A stage's row, formatted; ``made`` and ``seconds`` are those of its results."""

    stage: str
    state: str
    made: str
    seconds: str
    key: str
    reason: str


class PastModel(NamedTuple):
    """A model's accuracy on the same test reviews: ``when`` in UTC, ``promoted`` if it was."""

    when: str
    key: str
    accuracy: float
    interval: tuple[float, float]
    promoted: bool


def with_run(
    page: str,
    about: Sequence[str],
    details: Mapping[str, str],
    stages: Iterable[StageRow],
    past: Sequence[PastModel] = (),
) -> str:
    """Return a report's page with a run's section added.

    ``about`` tells this report from others: the data, the model, the date. The title names it.
    ``past`` are the models of the runs on the same test reviews so far, the oldest first; drawn if
    there are several.
    """
    section = render_page(
        TEMPLATE.read_text(encoding="utf-8"),
        details=details.items(),
        head=HEAD,
        stages=stages,
        past=[
            PAST_HEAD,
            *(
                (
                    model.when,
                    model.key,
                    percent(model.accuracy, 2),
                    interval(model.interval, 2),
                    "yes" if model.promoted else "no",
                )
                for model in past
            ),
        ],
        chart=Markup(past_chart(past)) if len(past) > 1 else None,  # numbers and our own words
    )
    words = escape(" · ".join(about))
    page = page.replace("</title>", f" · {words}</title>", 1)
    page = page.replace(ABOUT, f'<p class="about">{words}</p>', 1)
    page = page.replace(LINK, '<a href="#run">Run</a>', 1)
    before, _, after = page.rpartition(PLACE)
    return before + section + after


def past_chart(past: Sequence[PastModel]) -> str:
    """Draw the accuracy of each model with its interval, the oldest first."""
    # Slow to import, and a first run draws nothing.
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    from sentiment.reports.charts import BLUE, HALF, ORANGE, as_svg, house_style

    with house_style("past"):
        figure = Figure(figsize=HALF, layout="constrained")
        axes = figure.subplots()
        for promoted, mark, colour, label in (
            (True, "o", BLUE, "promoted"),
            (False, "x", ORANGE, "not promoted"),
        ):
            places = [at for at, model in enumerate(past, 1) if model.promoted == promoted]
            if places:
                models = [past[at - 1] for at in places]
                shares = [100 * model.accuracy for model in models]
                reach = [
                    [100 * (model.accuracy - model.interval[0]) for model in models],
                    [100 * (model.interval[1] - model.accuracy) for model in models],
                ]
                axes.errorbar(
                    places, shares, reach, fmt=mark, color=colour, label=label, elinewidth=1
                )
        axes.set(xlabel="Model, the oldest first", ylabel="Accuracy, %")
        axes.set_xlim(0.5, len(past) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y")
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
        return as_svg(figure, "past", "Accuracy of the models so far on the same test reviews")


def document_with_run(
    document: str,
    details: Mapping[str, str],
    stages: Iterable[StageRow],
    past: Sequence[PastModel] = (),
) -> str:
    """Return a report's ``metrics.json`` with the content of a run's section added."""
    run = {
        "details": dict(details),
        "stages": [stage._asdict() for stage in stages],
        "past": [model._asdict() for model in past],
    }
    return json.dumps({**json.loads(document), "run": run}, indent=1) + "\n"
