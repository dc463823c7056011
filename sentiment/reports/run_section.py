"""The last section of a report: which run made it, from what, when and on which machine.

The stage writes the report without it, so that equal models have equal reports. Each run adds its
own section to a copy.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from markupsafe import escape

from sentiment.reports.templating import render

TEMPLATE = Path(__file__).parent / "templates" / "run.html.j2"
PLACE, ABOUT, LINK = "<!-- run -->", "<!-- run: about -->", "<!-- run: link -->"
HEAD = ("Stage", "In this run", "Made (UTC)", "Seconds", "Key", "Why")


class StageRow(NamedTuple):
    """A stage's row, formatted; ``made`` and ``seconds`` are those of its results."""

    stage: str
    state: str
    made: str
    seconds: str
    key: str
    reason: str


def with_run(
    page: str, about: Sequence[str], details: Mapping[str, str], stages: Iterable[StageRow]
) -> str:
    """Return a report's page with a run's section added.

    ``about`` tells this report from others: the data, the model, the date. The title names it.
    """
    section = render(
        TEMPLATE.read_text(encoding="utf-8"), details=details.items(), head=HEAD, stages=stages
    )
    words = escape(" · ".join(about))
    page = page.replace("</title>", f" · {words}</title>", 1)
    page = page.replace(ABOUT, f'<p class="about">{words}</p>', 1)
    page = page.replace(LINK, '<a href="#run">Run</a>', 1)
    before, _, after = page.rpartition(PLACE)
    return before + section + after


def document_with_run(document: str, details: Mapping[str, str], stages: Iterable[StageRow]) -> str:
    """Return a report's ``metrics.json`` with the content of a run's section added."""
    run = {"details": dict(details), "stages": [stage._asdict() for stage in stages]}
    return json.dumps({**json.loads(document), "run": run}, indent=1) + "\n"
