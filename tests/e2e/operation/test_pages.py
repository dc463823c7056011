"""The HTML pages in a browser, light and dark: nothing is cut off, hard to read or without words.

A page lies in frames as wide as a phone, a tablet and a laptop. A script around them measures it,
since its own policy runs none.
"""

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.pages import PAGES
from tests.support.runs import TINY
from tests.support.servers import run_sentiment
from tools.screenshots import browse, chromium

pytestmark = pytest.mark.skipif(chromium() is None, reason="no Chromium here")

WIDTHS = (390, 768, 1280)
LEAST_CONTRAST = 4.5
TALLEST = 6_000  # pixels of the report at the largest width, with all lists folded
SCHEMES = {"dark": 0, "light": 1}  # Chromium's numbers
MEASURE = """
const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
function rgba(colour) {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1);
  const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
  return [r, g, b, a / 255];
}
const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3]));
function light(colour) {
  const [r, g, b] = colour.slice(0, 3).map(c => c / 255).map(
    c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function contrast(one, other) {
  const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}
function ground(element) {
  if (!element) return [255, 255, 255];
  return over(rgba(getComputedStyle(element).backgroundColor), ground(element.parentElement));
}
function measure(frame) {
  const page = frame.contentDocument, width = frame.clientWidth, wrong = [];
  const folded = page.documentElement;
  if (folded.scrollWidth > width) wrong.push("the folded page scrolls sideways");
  const height = folded.scrollHeight;
  page.querySelectorAll("details").forEach(each => { each.open = true; });
  if (page.documentElement.scrollWidth > width) wrong.push("the page scrolls sideways");
  for (const each of page.body.querySelectorAll("*")) {
    const right = each.getBoundingClientRect().right;
    if (right > width + 1 && !each.closest(".wide"))
      wrong.push(`${each.tagName} is cut at ${right}`);
    if (each.matches(".wide") && each.scrollWidth > width && each.tabIndex < 0)
      wrong.push("a table cannot be scrolled by keys");
  }
  for (const each of page.querySelectorAll("svg, img")) {
    const says = each.getAttribute("alt") || each.querySelector("title")?.textContent;
    if (!says) wrong.push(`${each.tagName} has no text`);
  }
  const walker = page.createTreeWalker(page.body, NodeFilter.SHOW_TEXT);
  let texts = 0;
  while (walker.nextNode()) {
    const text = walker.currentNode.data.trim(), element = walker.currentNode.parentElement;
    if (!text || element.closest("style, title, defs")) continue;
    texts += 1;
    const style = getComputedStyle(element), behind = ground(element);
    const colour = rgba(element.closest("svg") ? style.fill : style.color);
    let visible = 1;
    for (let at = element; at; at = at.parentElement) visible *= getComputedStyle(at).opacity;
    const ratio = contrast(over([...colour.slice(0, 3), colour[3] * visible], behind), behind);
    if (ratio < LEAST) wrong.push(`contrast ${ratio.toFixed(2)} of ${text}`);
  }
  const dark = light(ground(page.body)) < 0.5;
  return {width, height, dark, texts, wrong};
}
addEventListener("load", () => {
  const found = [...document.querySelectorAll("iframe")].map(measure);
  document.getElementById("found").textContent = JSON.stringify(found);
});
"""


def measured(page: str, folder: Path, scheme: str = "light") -> list[dict[str, Any]]:
    """Return what is wrong with a page at each width, as the browser shows it."""
    frames = [
        f'<iframe srcdoc="{html.escape(page)}" '
        f'style="width: {width}px; height: 900px; border: 0"></iframe>'
        for width in WIDTHS
    ]
    script = MEASURE.replace("LEAST", str(LEAST_CONTRAST))
    around = (
        '<!DOCTYPE html><html><head><meta charset="utf-8"><meta name="color-scheme" '
        f'content="light dark"><script>{script}</script></head><body><pre id="found"></pre>'
    )
    path = folder / "frames.html"
    path.write_text(around + "".join(frames), encoding="utf-8")
    colours = f"--blink-settings=preferredColorScheme={SCHEMES[scheme]}"
    shown = browse(path.as_uri(), "--dump-dom", colours)
    found = re.search(r'<pre id="found">(.*?)</pre>', shown, re.DOTALL)
    assert found is not None
    answer: list[dict[str, Any]] = json.loads(html.unescape(found[1]))
    assert tuple(each["width"] for each in answer) == WIDTHS
    return answer


@pytest.fixture(scope="module")
def report_page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the report of the second of two runs, which draws both models."""
    storage = str(tmp_path_factory.mktemp("report") / "storage")
    settings = [option for setting in TINY for option in ("--set", setting)]
    for seed in (1, 2):
        own = (*settings, "--set", f"train.seed={seed}")
        done = run_sentiment("run", "--json", "--storage", storage, *own)
        assert done.returncode == 0, done.stderr
    return Path(json.loads(done.stdout)["report"]).read_text(encoding="utf-8")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", ["report", *PAGES])
def test_a_page_can_be_read_on_a_phone_a_tablet_and_a_laptop(
    name: str, scheme: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    page = PAGES[name]() if name in PAGES else request.getfixturevalue("report_page")
    for found in measured(page, tmp_path, scheme):
        assert found["wrong"] == [], found["width"]
        assert found["texts"] > 50
        assert found["dark"] == (scheme == "dark")


def test_the_folded_report_is_not_endless(report_page: str, tmp_path: Path) -> None:
    assert measured(report_page, tmp_path)[-1]["height"] < TALLEST


def test_a_page_with_every_fault_is_found_out(tmp_path: Path) -> None:
    faulty = (
        '<body style="background: #fff"><svg></svg><div style="width: 1400px">so wide</div>'
        '<p style="color: #888">so <i style="opacity: 0.5">pale</i></p>'
    )
    for found in measured(faulty, tmp_path):
        told = " ".join(found["wrong"])
        for fault in ("scrolls sideways", "DIV is cut", "svg has no text", "of so", "of pale"):
            assert fault in told
