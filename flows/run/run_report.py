"""The report of a run: the page that the stage ``report`` wrote, plus what this run did."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import httpx

from flows.server.processes import REPORTS
from flows.ui.run_summary import StageResult
from sentiment.evaluation.label_errors import SUSPECTS
from sentiment.evaluation.metrics import wilson_interval
from sentiment.reports.run_section import PastModel, StageRow, document_with_run, with_run
from tasks.manifest import Manifest
from tasks.run.spec import RunSpec
from tasks.store.machine import describe_machine
from tasks.store.run_records import read_runs
from tasks.store.store import RUNS, Store

MOST_RUNS, MOST_PAST = 100, 30  # records that are read; models that are shown
SHORT_KEY = 8  # characters of a model's key that name it
Manifests = Mapping[str, Sequence[Manifest]]


def report_path(store: Store, run: str) -> Path:
    """Return the path of a run's report on this machine."""
    return store.root / RUNS / run / "report.html"


def report_page(run: str) -> str | None:
    """Return the address of a run's report for a browser.

    None where the server that SENTIMENT_REPORTS names does not have it: there is none, or it shows
    another storage.
    """
    server = os.environ.get(REPORTS)
    if not server:
        return None
    user, _, word = os.environ.get("PREFECT_API_AUTH_STRING", "").partition(":")
    page = f"{server}/runs/{run}/report.html"
    with suppress(httpx.HTTPError, httpx.InvalidURL):
        if httpx.head(page, auth=(user, word), timeout=5, trust_env=False).is_success:
            return page
    return None


def write_run_report(
    spec: RunSpec, run: str, results: Sequence[StageResult], manifests: Manifests
) -> None:
    """Write the report of a run whose stages ended like this, and ``metrics.json`` beside it."""
    store, now = spec.store, datetime.now(UTC)
    (reported,), (trained,) = manifests["report"], manifests["train"]
    data = "generated reviews" if spec.data is None else data_name(spec.data)
    about = (data, f"model {trained.key[:SHORT_KEY]}", f"{now:%Y-%m-%d}")
    details = {
        "Run": run,
        "Preset": spec.preset,
        "Data": "generated" if spec.data is None else str(spec.data),
        "Model": store.place(f"{trained.stage}/{trained.key}"),
        "Written (UTC)": _readable(now),
        "Machine": describe_machine(),
        "Model trained on": trained.machine or "unknown",
        "Model trained with": ", ".join(f"{n} {v}" for n, v in trained.versions.items()),
    }
    rows = [stage_row(result, manifests[result.stage]) for result in results]
    past = past_models(store, manifests["promote"][0])
    page, document = (
        store.file(reported.output(name)).read_text(encoding="utf-8")
        for name in ("report.html", "metrics.json")
    )
    suspects = store.file(reported.output(SUSPECTS)).read_bytes().decode()
    store.put(f"{RUNS}/{run}/{SUSPECTS}", suspects)
    store.put(f"{RUNS}/{run}/report.html", with_run(page, about, details, rows, past))
    store.put(f"{RUNS}/{run}/metrics.json", document_with_run(document, details, rows, past))


def past_models(store: Store, decided: Manifest) -> list[PastModel]:
    """Return the models that the last runs have judged on the same test reviews, oldest first.

    A model counts once, from its first run on. At most MOST_PAST are returned, the newest, of at
    most MOST_RUNS runs.
    """
    tests = decided.stats["candidate"]["tests"]
    asked = [
        (run, key)
        for run in islice(read_runs(store), MOST_RUNS)
        for key in run["stages"].get("promote", {}).get("results", {}).values()
    ]
    known = store.read_all("promote", {key for _, key in asked})
    found: dict[str, PastModel] = {}
    for run, key in asked:  # newest first, so that the first run of a model stays
        stats = known[key].stats if key in known else {}
        candidate = stats.get("candidate", {})
        if candidate.get("tests") != tests:
            continue
        before = found.pop(candidate["digest"], None)
        found[candidate["digest"]] = PastModel(
            when=_readable(datetime.fromisoformat(run["started"])),
            key=run["stages"].get("train", {}).get("results", {}).get("model", "")[:SHORT_KEY],
            accuracy=stats["accuracy"],
            interval=wilson_interval(round(stats["accuracy"] * stats["rows"]), stats["rows"]),
            promoted=stats["outcome"] == "promoted" or (before is not None and before.promoted),
        )
    return list(found.values())[:MOST_PAST][::-1]


def data_name(data: str | Path) -> str:
    """Return the last part of a path or URL, for titles."""
    return str(data).rstrip("/").rpartition("/")[2] or str(data)


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
