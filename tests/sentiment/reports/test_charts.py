import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest

from sentiment.evaluation.metrics import measure
from sentiment.reports import charts
from tests.support.bundles import evaluated_metrics

SVG = "{http://www.w3.org/2000/svg}"
HREF = "{http://www.w3.org/1999/xlink}href"


def history(steps: int = 40) -> list[dict[str, Any]]:
    return [
        {
            "step": step,
            "epoch": step / 20,
            "train_loss": 0.7 / step**0.5,
            "validation_loss": 0.75 / step**0.5 if step % 10 == 0 else None,
            "validation_accuracy": 1 - 0.4 / step**0.5 if step % 10 == 0 else None,
            "learning_rate": 0.001 * (1 - step / 50),
        }
        for step in range(1, steps + 1)
    ]


MEASURED = evaluated_metrics(2_000, seed=5)
DRAW: dict[str, Callable[[], str]] = {
    "training-curve": lambda: charts.training_chart(history()),
    "roc-curve": lambda: charts.roc_chart(MEASURED),
    "precision-recall": lambda: charts.precision_recall_chart(MEASURED),
    "confusion": lambda: charts.confusion_chart(MEASURED),
    "accuracy-by-length": lambda: charts.accuracy_by_length_chart(MEASURED),
    "accuracy-by-unknown": lambda: charts.accuracy_by_unknown_chart(MEASURED),
    "calibration": lambda: charts.calibration_chart(MEASURED),
}


@pytest.fixture(scope="module")
def drawn() -> dict[str, str]:
    return {name: draw() for name, draw in DRAW.items()}


def texts(svg: str) -> list[str]:
    return ["".join(each.itertext()) for each in ET.fromstring(svg).iter(f"{SVG}text")]


def luminance(colour: str) -> float:
    shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


class TestEveryChart:
    def test_scales_and_has_an_accessible_name(self, drawn: Any) -> None:
        for name, svg in drawn.items():
            root = ET.fromstring(svg)
            assert root.get("role") == "img", name
            assert root.get("width") == "100%" and root.get("height") is None, name
            assert re.fullmatch(r"0 0 [\d.]+ [\d.]+", root.get("viewBox", "")), name
            title = root.find(f"{SVG}title")
            assert title is not None and title.text, name
            assert root.get("aria-labelledby") == title.get("id"), name

    def test_takes_its_text_colour_from_the_page(self, drawn: Any) -> None:
        for name, svg in drawn.items():
            colours = set(re.findall(r"#[0-9a-f]{6}\b", svg))
            assert colours <= {charts.BLUE, charts.ORANGE}, name
            assert "currentColor" in svg and charts.INK not in svg, name

    def test_loads_nothing_from_outside(self, drawn: Any) -> None:
        for name, svg in drawn.items():
            for element in ET.fromstring(svg).iter():
                assert element.get(HREF, "#").startswith("#"), name
                assert element.tag.removeprefix(SVG) not in {"style", "script", "image", "a"}, name
            assert set(re.findall(r"url\((.)", svg)) <= {"#"}, name

    def test_ids_are_unique_on_a_page_and_every_reference_resolves(self, drawn: Any) -> None:
        page = "".join(drawn.values())
        ids = re.findall(r' id="([^"]+)"', page)
        assert len(ids) == len(set(ids))
        assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', page)) <= set(ids)
        for name, svg in drawn.items():
            assert all(each.startswith(name) for each in re.findall(r' id="([^"]+)"', svg))

    def test_same_input_same_bytes(self, drawn: Any) -> None:
        assert {name: draw() for name, draw in DRAW.items()} == drawn

    def test_same_bytes_however_the_layout_solver_rounds(self, drawn: Any) -> None:
        # Its last bits depend on memory addresses, which repetition stirs.
        assert {DRAW["training-curve"]() for _ in range(8)} == {drawn["training-curve"]}

    def test_same_bytes_from_several_threads(self, drawn: Any) -> None:
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(lambda draw: draw(), DRAW.values())) == list(drawn.values())

    def test_same_bytes_from_another_process(self) -> None:
        code = (
            "import sys; from sentiment.reports.charts import training_chart as draw;"
            "sys.stdout.write(draw([{'epoch': 1, 'train_loss': 0.5}]))"
        )
        other = subprocess.run(
            [sys.executable, "-c", code],
            cwd=Path(charts.__file__).parents[2],
            env=os.environ | {"PYTHONHASHSEED": "17"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert other.stdout == charts.training_chart([{"epoch": 1, "train_loss": 0.5}])

    def test_the_users_matplotlib_settings_neither_matter_nor_change(self, drawn: Any) -> None:
        with matplotlib.rc_context({"font.size": 20, "lines.linewidth": 9, "axes.grid": True}):
            assert DRAW["roc-curve"]() == drawn["roc-curve"]
            assert matplotlib.rcParams["font.size"] == 20


def test_series_colours_stand_out_on_light_and_dark() -> None:
    for colour in (charts.BLUE, charts.ORANGE):
        lit = luminance(colour)
        assert 1.05 / (lit + 0.05) >= 3, colour
        assert (lit + 0.05) / (luminance("#14171b") + 0.05) >= 3, colour


class TestTrainingCurve:
    def test_shows_losses_accuracy_and_a_changing_rate(self, drawn: Any) -> None:
        shown = texts(drawn["training-curve"])
        for label in ("training", "validation", "Loss (nats)", "Accuracy", "Epochs"):
            assert label in shown
        assert "Learning" in " ".join(shown)

    def test_a_constant_rate_is_not_worth_a_panel(self) -> None:
        rows = [row | {"learning_rate": 0.01} for row in history(12)]
        assert "Learning" not in " ".join(texts(charts.training_chart(rows)))

    @pytest.mark.parametrize("epoch", [0.0, 1.0])
    def test_one_row_without_validation(self, epoch: float) -> None:
        row = {"epoch": epoch, "train_loss": 0.6, "validation_loss": None}
        shown = texts(charts.training_chart([row]))
        assert "training" in shown and "validation" not in shown and "Accuracy" not in shown

    def test_gaps_may_be_nan(self) -> None:
        rows = history(12)
        gaps = [{key: float("nan") if v is None else v for key, v in row.items()} for row in rows]
        assert charts.training_chart(gaps) == charts.training_chart(rows)

    def test_a_long_history_stays_small(self) -> None:
        assert len(charts.training_chart(history(20_000))) < 300_000

    def test_no_rows(self) -> None:
        with pytest.raises(ValueError, match="no rows"):
            charts.training_chart([])


class TestOfMetrics:
    def test_confusion_shows_counts_and_shares(self) -> None:
        labels = np.array([0, 0, 0, 1], dtype=np.uint8)
        got = measure(labels, np.array([0.1, 0.2, 0.9, 0.8]), np.full(4, 9))
        shown = texts(charts.confusion_chart(got))
        assert shown.count("1") == 2 and "2" in shown and "0" in shown
        assert {"66.7 %", "33.3 %", "100.0 %", "0.0 %"} <= set(shown)

    def test_every_length_bin_is_named_and_counted(self, drawn: Any) -> None:
        shown = texts(drawn["accuracy-by-length"])
        for each in MEASURED["by_length"]:
            assert f"{each['accuracy'] * 100:.1f} % of {each['rows']:,}" in shown
        assert "1–25" in shown and "201+" in shown

    def test_every_bin_of_unknown_words_is_named_and_counted(self, drawn: Any) -> None:
        shown = texts(drawn["accuracy-by-unknown"])
        for each in MEASURED["by_unknown"]:
            assert f"{each['accuracy'] * 100:.1f} % of {each['rows']:,}" in shown
        assert "0–1 %" in shown and "over 10 %" in shown

    def test_curves_name_the_threshold(self, drawn: Any) -> None:
        assert "threshold 0.5" in texts(drawn["roc-curve"])
        assert "threshold 0.5" in texts(drawn["precision-recall"])

    def test_titles_have_the_number(self, drawn: Any) -> None:
        assert f"area {MEASURED['roc_auc']:.4f}" in drawn["roc-curve"]
        assert f"average precision {MEASURED['average_precision']:.4f}" in drawn["precision-recall"]

    @pytest.mark.parametrize("label", [0, 1])
    @pytest.mark.parametrize("probability", [0.2, 0.8])
    def test_a_single_review_can_be_drawn(self, label: int, probability: float) -> None:
        labels = np.array([label], dtype=np.uint8)
        got = measure(labels, np.array([probability]), np.array([7]))
        assert "undefined: one class only" in texts(charts.roc_chart(got))
        assert "undefined: one class only" in texts(charts.precision_recall_chart(got))
        for draw in (
            charts.confusion_chart,
            charts.accuracy_by_length_chart,
            charts.calibration_chart,
        ):
            ET.fromstring(draw(got))

    def test_nothing_predicted_positive_has_no_point_on_the_curve(self) -> None:
        labels = np.array([0, 1], dtype=np.uint8)
        got = measure(labels, np.array([0.1, 0.2]), np.array([7, 7]))
        assert "threshold 0.5" not in texts(charts.precision_recall_chart(got))
