"""The report of a run: the page that the stage ``report`` wrote, plus what this run did."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from flows.ui.run_summary import StageResult
from sentiment.reports.run_section import StageRow, document_with_run, with_run
from tasks.manifest import Manifest
from tasks.store.machine import describe_machine
from tasks.store.store import RUNS, Store

Manifests = Mapping[str, Sequence[Manifest]]


def report_path(store: Store, run: str) -> Path:
    """Return the path of a run's report on this machine."""
    return store.root / RUNS / run / "report.html"


def write_run_report(
    store: Store, run: str, preset: str, results: Sequence[StageResult], manifests: Manifests
) -> None:
    """Write the report of a run whose stages ended like this, and ``metrics.json`` beside it."""
    (reported,), (trained,) = manifests["report"], manifests["train"]
    details = {
        "Run": run,
        "Preset": preset,
        "Written (UTC)": _readable(datetime.now(UTC)),
        "Machine": describe_machine(),
        "Model trained on": trained.machine or "unknown",
        "Model trained with": ", ".join(f"{n} {v}" for n, v in trained.versions.items()),
    }
    rows = [stage_row(result, manifests[result.stage]) for result in results]
    for name, add in (("report.html", with_run), ("metrics.json", document_with_run)):
        content = store.file(reported.output(name)).read_text(encoding="utf-8")
        store.put(f"{RUNS}/{run}/{name}", add(content, details, rows))


def stage_row(result: StageResult, manifests: Sequence[Manifest]) -> StageRow:
    """Return a stage's row in the report, from the manifests of its results."""
    latest = max(datetime.fromisoformat(manifest.created) for manifest in manifests)
    several = f"{len(manifests)} results"
    return StageRow(
        stage=result.stage,
        state=result.state,
        made=_readable(latest),
        seconds=f"{sum(manifest.seconds for manifest in manifests):,.1f}",
        key=manifests[0].key if len(manifests) == 1 else several,
        reason=result.reason,
    )


def _readable(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"
