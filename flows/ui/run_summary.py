"""The outcome of a run: as a JSON object, and as a table for a person."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypedDict

from rich import box
from rich.table import Table
from rich.text import Text

from sentiment.evaluation.metrics import overlooked
from sentiment.evaluation.promotion import Verdict, label_of
from tasks.manifest import Manifest
from tasks.registry.champion import read_registry
from tasks.store import Store
from tasks.store.place import is_url


@dataclass(frozen=True)
class StageResult:
    """A stage's outcome: ``completed`` or ``cached``, why, and a digest of its outputs."""

    stage: str
    state: str
    reason: str
    seconds: float
    digest: str


class RunResult(TypedDict):
    """The outcome of a run. What belongs to a stage that was not reached is None.

    ``comparison`` has the model's figures and those of all that it has to beat, as the stage
    ``promote`` wrote them. ``promotion`` is the verdict on the model: ``champion`` is the path of
    the one in use after this run, ``compared_with`` the champion that the model met. ``warning``
    says what the accuracy hides. ``model`` is a path or URL, ``report`` a path on this machine.
    """

    accuracy: float | None
    accuracy_interval: tuple[float, float] | None
    mcc: float | None
    loss: float | None
    rows: int
    rejected: int
    rejected_by_reason: dict[str, int]
    vocabulary_size: int | None
    comparison: list[dict[str, Any]] | None
    promotion: dict[str, Any] | None
    warning: str | None
    model: str | None
    report: str | None
    stages: list[dict[str, Any]]


def summarise(
    store: Store,
    results: Sequence[StageResult],
    manifests: Mapping[str, Sequence[Manifest]],
    verdict: Verdict | None,
    report: Path,
    champion: str,
) -> RunResult:
    """Return the outcome of a run.

    ``report`` is where its report is, if it got that far; ``champion`` is the name of the champion
    that the run is about.
    """
    ingested = manifests.get("ingest", ())
    rejected: Counter[str] = Counter()
    for manifest in ingested:
        rejected.update(manifest.stats["rejected"])
    rows = [sum(classes.values()) for m in ingested for classes in m.stats["rows"].values()]
    (words,) = manifests.get("vocabulary", (None,))
    (trained,) = manifests.get("train", (None,))
    (evaluated,) = manifests.get("evaluate", (None,))
    (decided,) = manifests.get("promote", (None,))
    figures = evaluated.stats if evaluated else {}
    return {
        "accuracy": figures.get("accuracy"),
        "accuracy_interval": figures.get("accuracy_interval"),
        "mcc": figures.get("mcc"),
        "loss": figures.get("loss"),
        "rows": sum(rows),
        "rejected": rejected.total(),
        "rejected_by_reason": dict(rejected),
        "vocabulary_size": words.stats["size"] if words else None,
        "comparison": decided.stats["comparison"] if decided else None,
        "promotion": _promotion(store, verdict, decided, champion) if verdict and decided else None,
        "warning": overlooked(figures["confusion"]) if evaluated else None,
        "model": store.place(f"{trained.stage}/{trained.key}") if trained else None,
        "report": str(report) if report.exists() else None,
        "stages": [asdict(result) for result in results],
    }


def _promotion(store: Store, verdict: Verdict, decided: Manifest, name: str) -> dict[str, Any]:
    champion = read_registry(store, name).champion
    return {
        **asdict(verdict),
        "champion": store.place(champion.model) if champion else None,
        "compared_with": decided.stats["champion"],
    }


def result_table(result: RunResult, *, generated: bool) -> Table:
    """Return the rows that a person wants to see after a run."""
    table = Table(
        box=box.ROUNDED,
        show_header=False,
        title="Generated reviews: the accuracy says nothing about real ones" if generated else None,
        title_justify="left",
        title_style="yellow",
    )
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    reasons = ", ".join(f"{why}: {n:,}" for why, n in result["rejected_by_reason"].items())
    table.add_row("reviews", f"{result['rows']:,}")
    table.add_row("rejected rows", f"{result['rejected']:,}{f' ({reasons})' if reasons else ''}")
    if result["vocabulary_size"] is not None:
        table.add_row("vocabulary", f"{result['vocabulary_size']:,} words")
    if result["accuracy"] is not None and result["accuracy_interval"] is not None:
        table.add_row("test accuracy", Text(_figures(result), style="bold"))
        for row in (result["comparison"] or ())[1:]:
            table.add_row(label_of(row), _figures(row))
            if row.get("advice"):
                table.add_row("advice", row["advice"])
        table.add_row("test loss", f"{result['loss']:.4f}")
    if result["warning"] is not None:
        table.add_row("warning", Text(result["warning"], style="yellow"))
    if result["promotion"] is not None:
        table.add_row("verdict", result["promotion"]["reason"])
    cached = sum(stage["state"] == "cached" for stage in result["stages"])
    seconds = sum(stage["seconds"] for stage in result["stages"])
    ran = len(result["stages"]) - cached
    table.add_row("stages", f"{ran} run, {cached} cached, {seconds:.1f} s")
    for name, path in (("model", result["model"]), ("report", result["report"])):
        if path:
            table.add_row(name, path if is_url(path) else shown_path(Path(path)))
    return table


def _figures(row: Mapping[str, Any]) -> str:
    """Return an accuracy, its interval if there is one, and the MCC."""
    interval = ""
    if row["accuracy_interval"] is not None:
        low, high = row["accuracy_interval"]
        interval = f" (95 % interval {low:.2%} to {high:.2%})"
    return f"{row['accuracy']:.2%}{interval}, MCC {row['mcc']:.3f}"


def shown_path(path: Path) -> str:
    """Return a path relative to the current folder if inside it, else in full."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
