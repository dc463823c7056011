"""The last section of a run's report."""

import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from flows.run import run_report
from flows.run.run_report import data_name, past_models
from sentiment.reports.run_section import ABOUT, LINK, PLACE, PastModel, StageRow, with_run
from tasks.run.spec import RunSpec
from tasks.store.machine import cores, describe_machine
from tasks.store.run_records import RunRecord
from tests.support.reviews import good_lines, write_bz2
from tests.support.runs import run_plainly

ROW = StageRow("train", "cached", "2026-01-02 03:04:05", "1.5", "12ab", "nothing changed")


def cells(page: str) -> list[list[str]]:
    """Return the tables' rows of a page's last section."""
    _, _, section = page.rpartition('<section class="run" id="run">')
    rows = re.findall(r"<tr>(.*?)</tr>", section, re.DOTALL)
    return [[unescape(c) for c in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in rows]


def test_the_section_stands_where_the_page_has_its_place_for_it() -> None:
    page = f"<main>\n<p>&lt;!-- run --&gt;</p>\n{PLACE}\n</main>"
    whole = with_run(page, [], {"Preset": "a<b"}, [ROW])
    assert whole.startswith("<main>\n<p>&lt;!-- run --&gt;</p>\n<section")
    assert whole.endswith("</section>\n</main>")
    assert "a&lt;b" in whole
    assert cells(whole)[0] == ["Preset", "a<b"]
    assert cells(whole)[2] == list(ROW)


def test_title_and_heading_tell_the_report_from_others() -> None:
    page = f"<title>Review sentiment</title>{ABOUT}<nav>{LINK}</nav>{PLACE}"
    whole = with_run(page, ["a<b", "model 12ab", "2026-01-02"], {}, [ROW])
    words = "a&lt;b · model 12ab · 2026-01-02"
    assert f"<title>Review sentiment · {words}</title>" in whole
    assert f'<p class="about">{words}</p><nav><a href="#run">Run</a></nav>' in whole
    assert data_name("s3://bucket/amazon/") == "amazon"
    assert data_name(Path("data/reviews.csv")) == "reviews.csv"


def test_several_models_on_the_same_reviews_are_drawn() -> None:
    past = [
        PastModel("2026-01-01 00:00:00", "12ab", 0.9, (0.88, 0.92), True),
        PastModel("2026-01-02 00:00:00", "34cd", 0.8, (0.77, 0.83), False),
    ]
    whole = with_run(PLACE, [], {}, [ROW], past)
    assert "not promoted</text>" in whole
    row = ("2026-01-02 00:00:00", "34cd", "80.00 %", "77.00–83.00 %", "no")
    found = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", whole.replace("\N{NO-BREAK SPACE}", " "))
    assert tuple(found[10:15]) == row
    assert whole == with_run(PLACE, [], {}, [ROW], past)
    assert "<svg" not in with_run(PLACE, [], {}, [ROW], past[:1])


def test_past_models_are_those_judged_on_the_same_test_reviews(
    tmp_path: Path, make_spec: Callable[..., RunSpec], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bz2(tmp_path / "data" / "train.ft.txt.bz2", good_lines(60))
    write_bz2(tmp_path / "data" / "test.ft.txt.bz2", good_lines(20, start=100))
    keys = []
    for number, seed in enumerate((1, 2, 1)):
        spec = make_spec(tmp_path / "data", f"train.seed={seed}", storage=place)
        done = run_plainly(spec)
        record = RunRecord(spec.store, f"run-{number}")
        for stage, label in (("train", "model"), ("promote", "verdict")):
            record.stage(stage, {label: done[stage][0].key})
        record.finish("completed")
        keys.append(done["train"][0].key[:8])
    past = past_models(spec.store, done["promote"][0])
    assert sorted(model.key for model in past) == sorted({*keys})
    assert len(past) == 2
    other = replace(done["promote"][0], stats={"candidate": {"tests": "others"}})
    assert past_models(spec.store, other) == []
    monkeypatch.setattr(run_report, "MOST_RUNS", 1)
    assert [model.key for model in past_models(spec.store, done["promote"][0])] == keys[-1:]


def test_the_machine_is_named() -> None:
    assert f", {cores()} cores, " in describe_machine()
    assert "GiB, Linux" in describe_machine()
