"""The report's document holds what the stages before it found."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from tasks.report import STAGE
from tasks.run.spec import RunSpec
from tests.support.reviews import good_lines, write_bz2
from tests.support.runs import run_plainly


def test_the_document_has_the_metrics_of_all_stages(
    tmp_path: Path, make_spec: Callable[..., RunSpec]
) -> None:
    lines = good_lines(60)
    write_bz2(tmp_path / "data" / "train.ft.txt.bz2", [*lines, b"no label"])
    # The last 10 are the test reviews; 3 of them are known from training.
    write_bz2(tmp_path / "data" / "test.ft.txt.bz2", [*good_lines(17, start=100), *lines[:3]])
    spec = make_spec(tmp_path / "data", "ingest.max_reject_rate=0.5")
    done = run_plainly(spec)

    def file(stage: str, name: str) -> Path:
        return spec.store.root / done[stage][0].output(name).path

    report = json.loads(file("report", "metrics.json").read_bytes())
    weights = hashlib.sha256(file("train", "model.safetensors").read_bytes()).hexdigest()
    assert report["details"]["Weights (sha256)"] == weights[:16]
    assert report["details"]["Version of torch"] == done["train"][0].libraries["torch"]
    assert report["metrics"] == json.loads(file("evaluate", "metrics.json").read_bytes())
    linear = json.loads(file("baseline", "baseline.json").read_bytes())
    compared = report["baseline"].pop("model")
    assert report["baseline"] == linear
    assert compared["gained"] - compared["lost"] == round(
        10 * (report["metrics"]["accuracy"] - linear["accuracy"])
    )
    assert report["data"]["files"][1]["rejected"] == {"no label": 1}
    assert [split["rows"] for split in report["data"]["splits"]] == [60, 10, 10]
    assert report["data"]["duplicates"]["test"]["also_in"]["train"] == 3
    assert "3 of 10 test reviews (30.00\N{NO-BREAK SPACE}%) also occur" in (
        file("report", "report.html").read_text()
    )


def test_of_the_templates_only_its_own_counts_for_the_report() -> None:
    code = STAGE.code
    assert [file for file in code if file.endswith(".j2")] == [
        f"sentiment/reports/templates/{name}.html.j2" for name in ("page", "parts", "report")
    ]
