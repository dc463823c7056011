"""The last section of a report: which run drew it up, from what, when and on which machine.

An equal model has an equal report, whose file the stage writes without this section. Each run adds
its own to a copy.
"""

import json
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sentiment.reports.templating import render

PLACE = "<!-- run -->"
HEAD = ("Stage", "In this run", "Made (UTC)", "Seconds of work", "Key", "Why")


class StageRow(NamedTuple):
    """A stage in words; ``made`` says when its results were, ``seconds`` what they cost."""

    stage: str
    state: str
    made: str
    seconds: str
    key: str
    reason: str


def with_run(page: str, facts: Mapping[str, str], stages: Iterable[StageRow]) -> str:
    """Return a report's page with the section of a run."""
    section = render("templates/run.html.j2", facts=facts.items(), head=HEAD, stages=stages)
    before, _, after = page.rpartition(PLACE)
    return before + section + after


def document_with_run(document: str, facts: Mapping[str, str], stages: Iterable[StageRow]) -> str:
    """Return a report's document, its ``metrics.json``, with what the run's section tells."""
    run = {"facts": dict(facts), "stages": [stage._asdict() for stage in stages]}
    return json.dumps({**json.loads(document), "run": run}, indent=1) + "\n"
