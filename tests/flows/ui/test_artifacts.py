"""What a run publishes in Prefect: its name, tables, the report, progress and reasons."""

import io
import json
import re
import socket
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID
from xml.etree import ElementTree

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import Artifact, FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from rich.console import Console

import flows.ui.artifacts
import flows.ui.progress_bars
from flows.pipeline import pipeline
from flows.run.decision import decide
from flows.run.work import at_work
from flows.steps import STAGE_NAMES
from flows.ui.artifacts import (
    CHARTS,
    file_links,
    file_rows,
    metric_rows,
    split_rows,
    with_charts,
)
from flows.ui.progress_bars import ProgressArtifact, progress_artifact
from flows.ui.reporters import LineReporter, Running, chosen
from flows.ui.run_name import run_name
from sentiment.reports.run_section import ABOUT, LINK, PLACE
from tasks import ingest
from tasks.manifest import Artifact as File
from tasks.run.progress import ProgressFile, Snapshot, snapshot
from tasks.run.spec import RunSpec
from tasks.store.machine import describe_machine
from tests.support.reviews import good_lines, write_bz2, write_small_data
from tests.support.runs import TINY, run_plainly

IMAGE = r"!\[([^]]*)\]\(data:image/svg\+xml;base64,([^)]*)\)"


class Ran(NamedTuple):
    """A run: its result, its log, its flow run in Prefect."""

    result: dict[str, Any]
    log: list[str]
    flow_run: FlowRun

    def artifacts(self) -> dict[str, Artifact]:
        with get_client(sync_client=True) as client:
            found = client.read_artifacts(
                artifact_filter=ArtifactFilter(
                    flow_run_id=ArtifactFilterFlowRunId(any_=[self.flow_run.id])
                )
            )
        return {str(artifact.key): artifact for artifact in found if artifact.key}


def run_on(folder: Path, *overrides: str) -> Ran:
    written = io.StringIO()
    before = chosen.set(LineReporter(Console(file=written)))
    try:
        result = pipeline(
            preset="sample",
            data=str(folder / "data"),
            storage=str(folder / "storage"),
            overrides=[*TINY, "ingest.shard_size=25", "train.epochs=2", *overrides],
        )
    finally:
        chosen.reset(before)
    with get_client(sync_client=True) as client:
        (flow_run,) = client.read_flow_runs(sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=1)
    return Ran(result, written.getvalue().splitlines(), flow_run)


@pytest.fixture(scope="module")
def folder(prefect_server: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    write_small_data(folder / "data")
    return folder


@pytest.fixture(scope="module")
def first(folder: Path) -> Ran:
    return run_on(folder)


@pytest.fixture(scope="module")
def second(first: Ran, folder: Path) -> Ran:
    return run_on(folder)


def test_runs_on_equal_data_share_all_but_the_end_of_their_name(first: Ran, second: Ran) -> None:
    names = [run.flow_run.name.split("-") for run in (first, second)]
    assert all(re.fullmatch(r"sample-[0-9a-f]{8}-[0-9a-f]{6}", "-".join(name)) for name in names)
    assert names[0][1] == names[1][1]
    assert names[0][2] != names[1][2]


def test_a_name_depends_on_the_data_but_not_on_its_path() -> None:
    run = UUID(int=1)

    def name(preset: str, path: str, digest: str) -> str:
        return run_name(preset, [File("train.csv", path, digest, 1, 1)], run)

    assert name("mine/my.yaml", "/a/train.csv", "1") == name("my", "/b/train.csv", "1")
    assert name("my", "/a/train.csv", "1") != name("my", "/a/train.csv", "2")


def test_the_log_says_why_each_stage_ran_or_that_nothing_changed(first: Ran, second: Ran) -> None:
    begun = [line for line in first.log if "to run" in line]
    assert begun == [f"{stage:<11}to run: first run" for stage in STAGE_NAMES]
    cached = [line for line in second.log if "cached" in line]
    assert cached[:-1] == [f"{stage:<11}cached: nothing changed" for stage in STAGE_NAMES]
    assert cached[-1] == second.log[-1] == "run        nothing new: every stage was cached"


def test_every_run_publishes_metrics_and_the_report(first: Ran, second: Ran) -> None:
    for run in (first, second):
        artifacts = run.artifacts()
        splits = json.loads(str(artifacts["data-quality"].data))
        assert splits[0] == {"figure": "reviews", "train": "60", "validation": "10", "test": "10"}
        files = json.loads(str(artifacts["input-files"].data))
        assert [row["lines"] for row in files] == ["20", "60"]
        metrics = {r["figure"]: r["value"] for r in json.loads(str(artifacts["metrics"].data))}
        assert metrics["accuracy"] == f"{run.result['accuracy']:.2%}"
        assert metrics["loss (nats)"] == f"{run.result['loss']:.4f}"
        report = Path(run.result["report"])
        (markdown,) = report.parents[2].glob("report/*/report.md")
        shown = "".join(re.split(IMAGE, str(artifacts["evaluation"].data))[::3])
        plain = markdown.read_text(encoding="utf-8")
        before, after = plain.split("\n## ", 1)
        assert shown.startswith(before) and shown.endswith(after)
        assert str(report) in str(artifacts["files"].data)
        assert str(run.result["model"]) in str(artifacts["files"].data)


def test_a_runs_report_is_the_stages_report_plus_what_the_run_did(first: Ran, second: Ran) -> None:
    (stage,) = Path(first.result["report"]).parents[2].glob("report/*/report.html")
    before, _, after = stage.read_text(encoding="utf-8").rpartition(PLACE)
    model = Path(first.result["model"]).name
    for run, reason in ((first, "first run"), (second, "nothing changed")):
        report = Path(run.result["report"])
        page = report.read_text(encoding="utf-8")
        (words,) = re.findall('<p class="about">(.*?)</p>', page)
        named = before.replace("</title>", f" · {words}</title>", 1)
        named = named.replace(ABOUT, f'<p class="about">{words}</p>')
        named = named.replace(LINK, '<a href="#run">Run</a>')
        assert page.startswith(named) and page.endswith(after)
        facts, _, stages = page[len(named) : -len(after)].partition('<div class="wide"')
        assert report.parent.name in facts
        assert facts.count(describe_machine()) == 2  # of the run, and of the training
        assert re.findall(r'<th scope="row">(\w+)</th>', stages) == list(STAGE_NAMES)
        assert stages.count(f"<td>{reason}</td>") == len(STAGE_NAMES)
        assert f"<td>{model}</td>" in stages
        figures = json.loads(report.with_name("metrics.json").read_bytes())
        about = figures.pop("run")
        assert figures == json.loads(stage.with_name("metrics.json").read_bytes())
        assert about["details"]["Run"] == report.parent.name
        for row in about["stages"]:
            assert all(f"{text}</t" in stages for text in row.values())


def test_long_stages_that_ran_have_a_full_bar(first: Ran, second: Ran) -> None:
    bars = {k: a for k, a in first.artifacts().items() if k.startswith("progress")}
    assert set(bars) == {f"progress-{s}" for s in ("ingest", "tokenize", "train", "evaluate")}
    assert {bar.data for bar in bars.values()} == {100.0}
    assert str(bars["progress-train"].description).startswith("120 of 120 reviews")
    assert not [key for key in second.artifacts() if key.startswith("progress")]


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[float, str]]]:
    """Collect what would go to Prefect's API as a bar's percentage and description."""
    sent: list[tuple[float, str]] = []

    def create(progress: float, key: str, description: str) -> UUID:
        sent.append((progress, description))
        return UUID(int=1)

    def update(artifact_id: UUID, progress: float, description: str) -> UUID:
        sent.append((progress, description))
        return artifact_id

    monkeypatch.setattr(flows.ui.progress_bars, "create_progress_artifact", create)
    monkeypatch.setattr(flows.ui.progress_bars, "update_progress_artifact", update)
    yield sent


def test_a_bar_moves_with_the_work(
    prefect_server: None, bars: list[tuple[float, str]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(flows.ui.progress_bars, "UPDATE_EVERY", 0.01)
    file = tmp_path / "progress.json"
    running = Running("train", [file], None, time.monotonic())
    with progress_artifact(running, wanted=True):
        ProgressFile(file)(30, 120, loss=0.5)
        while bars[-1][0] != 25:
            time.sleep(0.01)
    assert bars[0] == (0, "started")
    assert "30 of 120 reviews" in bars[-2][1] and "loss 0.500" in bars[-2][1]
    assert bars[-1][0] == 100
    assert all(0 <= percent <= 100 for percent, _ in bars)


def test_a_bar_of_unknown_length_stays_at_zero(bars: list[tuple[float, str]]) -> None:
    running = Running("ingest", [], None, time.monotonic())
    ProgressArtifact(running).progress(running, Snapshot(5_000))
    assert bars[-1][0] == 0
    assert bars[-1][1].startswith("5,000 reviews")


def test_a_bar_of_files_follows_the_bytes_that_were_read(
    bars: list[tuple[float, str]], tmp_path: Path
) -> None:
    """One small file done, a large one running, one not started: the total is unknown."""
    files = [tmp_path / f"{name}.json" for name in ("small", "large", "next")]
    running = Running("ingest", files, None, time.monotonic() - 10, sizes=[100, 600, 300])
    ProgressFile(files[0])(20, 20, share=1.0)
    ProgressFile(files[1])(5_000, None, share=0.25)
    bar = ProgressArtifact(running)
    bar.progress(running, snapshot(running.files, running.sizes))
    percent, text = bars[-1]
    assert percent == 25
    assert re.fullmatch(r"5,020 reviews \(25%\), 50\d/s, 30 s left", text)
    ProgressFile(files[1])(80_000, 80_000, share=1.0)
    ProgressFile(files[2])(40_000, 40_000, share=1.0)
    bar.finish(running)
    assert bars[-1][0] == 100
    assert bars[-1][1].startswith("120,020 of 120,020 reviews, ")


def test_only_running_shards_are_watched(make_spec: Callable[..., RunSpec], data: Path) -> None:
    spec = make_spec(data)
    run_plainly(spec, until="ingest")
    write_bz2(data / "more-train.ft.txt.bz2", good_lines(30, start=500))
    stage, requests = ingest.STAGE, ingest.requests(spec, {})

    def watched(*, force: bool) -> Running:
        return at_work(stage, requests, decide(spec, stage, requests, force=force), data, "r")

    (size,) = watched(force=False).sizes
    assert size == (data / "more-train.ft.txt.bz2").stat().st_size
    assert len(watched(force=True).files) == len(requests) == 3


def test_a_failing_api_costs_the_artifacts_but_not_the_run(
    first: Ran, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ConnectionError("the server went away")

    for name in ("create_table_artifact", "create_markdown_artifact"):
        monkeypatch.setattr(flows.ui.artifacts, name, fail)
    for name in ("create_progress_artifact", "update_progress_artifact"):
        monkeypatch.setattr(flows.ui.progress_bars, name, fail)
    monkeypatch.setattr("flows.ui.run_name.get_client", fail)
    run = run_on(folder, "train.seed=2")
    states = {stage["stage"]: stage["state"] for stage in run.result["stages"]}
    assert states["train"] == states["evaluate"] == "completed"
    assert run.artifacts() == {}


def test_the_evaluation_shows_charts_of_the_report(first: Ran) -> None:
    page = Path(first.result["report"]).read_text(encoding="utf-8")
    images = re.findall(IMAGE, str(first.artifacts()["evaluation"].data))
    assert [name for name, _ in images] == [*CHARTS.values()]
    for chart, (_, image) in zip(CHARTS, images, strict=True):
        svg = b64decode(image, validate=True).decode()
        drawn = ElementTree.fromstring(svg)  # as an image it has to be XML of its own
        assert drawn.get("aria-labelledby") == f"{chart}-title"
        assert drawn.get("width") == "290"
        assert svg.partition("</title>")[2] in page


def test_a_report_without_charts_is_shown_as_it_is() -> None:
    markdown = "# A report\n\n## Training\n\n## Data\n"
    assert with_charts(markdown, "<html><svg aria-labelledby='other-title'></svg></html>") == (
        markdown
    )
    svg = '<svg width="100%" aria-labelledby="calibration-title" style=""><path/></svg>'
    head, training, data = with_charts(markdown, f"<p>{svg}</p>").split("## ")
    assert head.startswith("# A report\n\n| | |\n|---|---|\n| **Calibration** ![Calibration](")
    assert (training, data) == ("Training\n\n", "Data\n")


QUALITY = {
    "files": [
        {"name": "a", "read": 1_000, "ignored": 40, "repeated": 0, "rejected": {"empty line": 2}},
        {"name": "b", "read": 10, "ignored": 0, "repeated": 0, "rejected": {"no label": 1}},
    ],
    "splits": [
        {
            "name": "train",
            "rows": 1_007,
            "positive_share": 0.5,
            "tokens": 90_000,
            "unknown_share": 0.0123,
            "lengths": {"50%": 80, "max": 1_234},
        }
    ],
}


def test_tables_of_the_data() -> None:
    assert split_rows(QUALITY) == [
        {"figure": "reviews", "train": "1,007"},
        {"figure": "positive", "train": "50.00%"},
        {"figure": "tokens", "train": "90,000"},
        {"figure": "unknown words", "train": "1.23%"},
        {"figure": "length, 50%", "train": "80"},
        {"figure": "length, max", "train": "1,234"},
    ]
    assert file_rows(QUALITY) == [
        {
            "file": "a",
            "lines": "1,000",
            "ignored by their label": "40",
            "duplicates dropped": "0",
            "rejected": "2",
            "empty line": "2",
            "no label": "0",
        },
        {
            "file": "b",
            "lines": "10",
            "ignored by their label": "0",
            "duplicates dropped": "0",
            "rejected": "1",
            "empty line": "0",
            "no label": "1",
        },
    ]


def test_an_undefined_metric_is_shown_as_such() -> None:
    import numpy as np

    from sentiment.evaluation.metrics import measure

    one_class = np.array([1, 1])
    metrics = measure(one_class, np.array([0.9, 0.8]), np.array([3, 4]))
    rows = {row["figure"]: row["value"] for row in metric_rows(metrics)}
    assert rows["ROC AUC"] == "undefined"
    assert rows["accuracy"] == "100.00%"


def test_only_what_a_browser_can_open_is_a_link(tmp_path: Path) -> None:
    files = {"report": str(tmp_path / "a b" / "report.html"), "model": "s3://bucket/train/a"}
    alone = file_links(files)
    assert "| [model](s3://bucket/train/a) |" in alone
    assert f"| report | `{tmp_path}/a b/report.html` |" in alone
    assert f"\n\nOn {socket.gethostname()}. Browsers open no file" in alone
    served = file_links(files, "http://127.0.0.1:4201/runs/a/report.html")
    assert "| [report](http://127.0.0.1:4201/runs/a/report.html) |" in served
