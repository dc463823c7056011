"""What a run publishes in the Prefect UI: tables of metrics, the report, links to the files."""

import base64
import json
import re
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from tasks.data_quality import data_quality
from tasks.manifest import Manifest
from tasks.run.spec import Done
from tasks.store import Store
from tasks.store.place import is_url, resolved

Row = dict[str, Any]
CHART = re.compile(r'<svg [^>]*aria-labelledby="([\w-]+)-title".*?</svg>', re.DOTALL)
CHARTS = {  # of the report, by their names there
    "histogram": "Scores by label",
    "training-curve": "Training",
    "calibration": "Calibration",
    "roc-curve": "ROC curve",
}


def publish(stage: str, store: Store, done: Done, report: Path, page: str | None = None) -> None:
    """Show what a stage that just ended adds.

    ``report`` is where the run's report is, and ``page`` its address for a browser, if it has one.
    """
    if stage == "tensors":
        publish_data_quality(done)
    elif stage == "evaluate":
        publish_metrics(store, done)
    elif stage == "report":
        publish_report(store, done, report, page)


def publish_data_quality(done: Done) -> None:
    """Show the input files and the splits."""
    quality = data_quality(done["ingest"], done["tensors"])
    with attempt("the data's statistics"):
        create_table_artifact(
            split_rows(quality),
            key="data-quality",
            description="The reviews of each split; lengths in tokens, before cutting",
        )
        create_table_artifact(
            file_rows(quality),
            key="input-files",
            description="Lines read, left out and rejected, by reason",
        )


def publish_metrics(store: Store, done: Done) -> None:
    """Show the model's metrics."""
    metrics = json.loads(_file(store, done["evaluate"], "metrics.json").read_bytes())
    with attempt("the model's metrics"):
        create_table_artifact(
            metric_rows(metrics), key="metrics", description="The model on the test reviews"
        )


def publish_report(store: Store, done: Done, report: Path, page: str | None) -> None:
    """Show the report as Markdown, and where the run's page (``report``) and the model are."""
    (trained,) = done["train"]
    files = {"report": str(report), "model": store.place(f"{trained.stage}/{trained.key}")}
    markdown, html = (
        _file(store, done["report"], name).read_text(encoding="utf-8")
        for name in ("report.md", "report.html")
    )
    markdown = with_charts(markdown, html)
    whole = "The report on the model" if page is None else f"[Open the whole report]({page})"
    with attempt("the report"):
        create_markdown_artifact(
            markdown if page is None else f"{whole}\n\n{markdown}",
            key="evaluation",
            description=whole,
        )
        create_markdown_artifact(
            file_links(files, page), key="files", description="Where the report and the model are"
        )


def with_charts(markdown: str, html: str) -> str:
    """Return a report's Markdown with charts of its page before its first section."""
    found = {match[1]: match[0] for match in CHART.finditer(html)}
    shown = [name for name in CHARTS if name in found]
    cells = [f"**{CHARTS[name]}** {_image(CHARTS[name], found[name])}" for name in shown]
    rows = [f"| {' | '.join(cells[at : at + 2])} |" for at in range(0, len(cells), 2)]
    if not rows:
        return markdown
    table = "\n".join(["| | |", "|---|---|", *rows])
    return markdown.replace("\n## ", f"\n{table}\n\n## ", 1)


def _image(title: str, svg: str) -> str:
    """Return an image in Markdown. It does not know if the page is dark: it gets a white ground."""
    svg = svg.replace('width="100%"', 'width="290"', 1)
    svg = svg.replace('style="', 'style="background: #fff; ', 1)
    return f"![{title}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def _file(store: Store, manifests: Sequence[Manifest], name: str) -> Path:
    (manifest,) = manifests
    return store.file(manifest.output(name))


@contextmanager
def attempt(what: str) -> Iterator[None]:
    """Log a failure of Prefect's API and continue: the run's results matter more."""
    try:
        yield
    except Exception as error:
        get_run_logger().warning("Prefect's API did not take %s: %s", what, error)


def split_rows(quality: Mapping[str, Any]) -> list[Row]:
    """Return ``tasks.data_quality.data_quality`` as a table, a column for each split."""
    splits = quality["splits"]

    def row(figure: str, values: Iterable[str]) -> Row:
        return {"figure": figure, **{s["name"]: v for s, v in zip(splits, values, strict=True)}}

    return [
        row("reviews", (f"{split['rows']:,}" for split in splits)),
        row("positive", (f"{split['positive_share']:.2%}" for split in splits)),
        row("tokens", (f"{split['tokens']:,}" for split in splits)),
        row("unknown words", (f"{split['unknown_share']:.2%}" for split in splits)),
        *(
            row(f"length, {name}", (f"{split['lengths'][name]:,}" for split in splits))
            for name in splits[0]["lengths"]
        ),
    ]


def file_rows(quality: Mapping[str, Any]) -> list[Row]:
    """Return the input files as a table, a column for each reason for rejection."""
    files = quality["files"]
    reasons = sorted({reason for file in files for reason in file["rejected"]})
    return [
        {
            "file": file["name"],
            "lines": f"{file['read']:,}",
            "ignored by their label": f"{file['ignored']:,}",
            "duplicates dropped": f"{file['repeated']:,}",
            "rejected": f"{sum(file['rejected'].values()):,}",
            **{reason: f"{file['rejected'].get(reason, 0):,}" for reason in reasons},
        }
        for file in files
    ]


def metric_rows(metrics: Mapping[str, Any]) -> list[Row]:
    """Return the headline metrics of ``sentiment.evaluation.metrics.measure`` as a table."""
    low, high = metrics["accuracy_interval"]
    shown = {
        "test reviews": f"{metrics['rows']:,}",
        "accuracy": f"{metrics['accuracy']:.2%}",
        "95 % interval": f"{low:.2%} to {high:.2%}",
        "accuracy of the more frequent label": f"{metrics['majority_accuracy']:.2%}",
        "loss (nats)": _decimals(metrics["loss"]),
        "ROC AUC": _decimals(metrics["roc_auc"]),
        "average precision": _decimals(metrics["average_precision"]),
        "precision": _decimals(metrics["precision"]),
        "recall": _decimals(metrics["recall"]),
        "F1": _decimals(metrics["f1"]),
        "MCC": _decimals(metrics["mcc"]),
        "calibration error (ECE)": _decimals(metrics["calibration"]["ece"]),
    }
    return [{"figure": name, "value": value} for name, value in shown.items()]


def _decimals(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"


def file_links(files: Mapping[str, str], page: str | None = None) -> str:
    """Return files and folders as Markdown, each with its path or URL to copy.

    ``page`` is the report's address. Browsers follow no ``file:`` link from a server's page.
    """
    places = {name: resolved(place) for name, place in files.items()}
    links = {name: place for name, place in places.items() if is_url(place)}
    if page is not None:
        links["report"] = page
    lines = (
        f"| {f'[{name}]({links[name]})' if name in links else name} | `{place}` |"
        for name, place in places.items()
    )
    where = f"On {socket.gethostname()}. Browsers open no file from this page: copy the path."
    return "\n".join(["| | path |", "|---|---|", *lines, "", where])
