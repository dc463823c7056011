"""The report in a browser, at three widths, light and dark: nothing cut off, all of it legible."""

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.runs import TINY
from tests.support.servers import run_sentiment
from tools.screenshots import browse, chromium

pytestmark = pytest.mark.skipif(chromium() is None, reason="no Chromium here")

WIDTHS = (390, 768, 1280)
TALLEST = 6_000  # pixels at the largest width, with all lists folded
SCHEMES = {"dark": "0", "light": "1"}  # Chromium's numbers
# Measures the page in its frame: before and after all lists are unfolded.
MEASURE = """
const parsed = (colour) => {
  const [r, g, b, a = 1] = colour.match(/[\\d.]+/g).map(Number);
  return [r, g, b, a];
};
const over = (above, below) =>
  [0, 1, 2].map((n) => above[n] * above[3] + below[n] * (1 - above[3]));
const luminance = (colour) => {
  const [r, g, b] = colour.map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (element) => {
  const layers = [];
  for (let each = element; each; each = each.parentElement) {
    layers.push(parsed(getComputedStyle(each).backgroundColor));
  }
  return layers.reverse().reduce((below, above) => over(above, below), [255, 255, 255]);
};
const faint = () => {
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode, element = text.parentElement;
    const style = getComputedStyle(element);
    if (!text.data.trim() || element.closest("script, style, title")) continue;
    const below = ground(element);
    const colour = element.closest("svg") ? style.fill : style.color;
    const [one, two] = [luminance(over(parsed(colour), below)), luminance(below)];
    const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
    if (ratio < 4.5) found.push([text.data.trim().slice(0, 40), ratio, colour]);
  }
  return found;
};
const measured = {
  width: innerWidth,
  dark: matchMedia("(prefers-color-scheme: dark)").matches,
  height: document.documentElement.scrollHeight,
  folded: document.documentElement.scrollWidth,
};
document.querySelectorAll("details").forEach((each) => (each.open = true));
measured.unfolded = document.documentElement.scrollWidth;
measured.faint = faint();
measured.unnamed = [...document.querySelectorAll("svg, img")]
  .filter((each) => !(each.querySelector("title")?.textContent || each.alt))
  .map((each) => each.outerHTML.slice(0, 80));
parent.postMessage(measured, "*");
"""
FRAMES = """<!DOCTYPE html>
<html><meta charset="utf-8"><pre id="found"></pre><script>
const found = [];
addEventListener("message", (event) => {
  found.push(event.data);
  document.getElementById("found").textContent = JSON.stringify(found);
});
</script>FRAMES</html>"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the report of a run, with a script that measures it."""
    folder = tmp_path_factory.mktemp("report")
    settings = [option for setting in TINY for option in ("--set", setting)]
    done = run_sentiment("run", "--json", "--storage", str(folder / "storage"), *settings)
    assert done.returncode == 0, done.stderr
    page = Path(json.loads(done.stdout)["report"]).read_text(encoding="utf-8")
    # The page's policy forbids scripts.
    page, policies = re.subn(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    assert policies == 1
    path = folder / "measured.html"
    path.write_text(page.replace("</body>", f"<script>{MEASURE}</script></body>"), encoding="utf-8")
    return path


@pytest.fixture(scope="module", params=SCHEMES)
def measured(request: pytest.FixtureRequest, report: Path) -> dict[int, Any]:
    """Return what was measured of the report in one colour scheme, by width."""
    frames = report.with_name("frames.html")
    inner = "".join(
        f'<iframe src="{report.name}" style="border: 0; width: {width}px; height: 900px"></iframe>'
        for width in WIDTHS
    )
    frames.write_text(FRAMES.replace("FRAMES", inner), encoding="utf-8")
    scheme = f"--blink-settings=preferredColorScheme={SCHEMES[request.param]}"
    shown = browse(frames.as_uri(), scheme, "--dump-dom", width=1400)
    found = re.search(r'<pre id="found">(.*?)</pre>', shown, re.DOTALL)
    assert found is not None
    pages = {each["width"]: each for each in json.loads(html.unescape(found[1]))}
    assert sorted(pages) == sorted(WIDTHS)
    assert {each["dark"] for each in pages.values()} == {request.param == "dark"}
    return pages


def test_nothing_is_wider_than_the_page(measured: dict[int, Any]) -> None:
    for width, page in measured.items():
        assert page["folded"] <= width
        assert page["unfolded"] <= width


def test_every_text_stands_out_from_its_ground(measured: dict[int, Any]) -> None:
    for page in measured.values():
        assert page["faint"] == []


def test_every_picture_has_a_text_alternative(measured: dict[int, Any]) -> None:
    for page in measured.values():
        assert page["unnamed"] == []


def test_the_folded_report_is_not_endless(measured: dict[int, Any]) -> None:
    assert measured[max(WIDTHS)]["height"] < TALLEST
