"""The last section of a run's report."""

import re
from html import unescape
from pathlib import Path

from flows.run.run_report import data_name
from sentiment.reports.run_section import ABOUT, LINK, PLACE, StageRow, with_run
from tasks.store.machine import cores, describe_machine

ROW = StageRow("train", "cached", "2026-01-02 03:04:05", "1.5", "12ab", "nothing changed")


def cells(page: str) -> list[list[str]]:
    """Return the tables' rows of a page's last section."""
    _, _, section = page.rpartition('<section class="run" id="run">')
    rows = re.findall(r"<tr>(.*?)</tr>", section, re.DOTALL)
    return [[unescape(c) for c in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in rows]


def test_the_section_stands_where_the_page_has_its_place_for_it() -> None:
    page = f"<main>\n<p>&lt;!-- run --&gt;</p>\n{PLACE}\n</main>"
    whole = with_run(page, [], {"Preset": "a<b"}, [ROW])
    assert whole.startswith("<main>\n<p>&lt;!-- run --&gt;</p>\n<style>")
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


def test_the_machine_is_named() -> None:
    assert f", {cores()} cores, " in describe_machine()
    assert "GiB, Linux" in describe_machine()
