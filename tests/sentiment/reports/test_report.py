import json
import re
from dataclasses import replace
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentiment.evaluation.baseline import train_baseline
from sentiment.evaluation.comparison import linear_would_do
from sentiment.evaluation.config import EvaluateConfig
from sentiment.evaluation.decisions import decide_by_scores
from sentiment.evaluation.evaluate import evaluate_model
from sentiment.evaluation.metrics import wilson_interval
from sentiment.model.inference import probabilities
from sentiment.reports.markdown import render_markdown
from sentiment.reports.mistakes import LONGEST_TEXT, Mistake
from sentiment.reports.model_card import render_card
from sentiment.reports.report import (
    GENERATED_NOTE,
    against_champion,
    render_html,
    write_report,
)
from sentiment.reports.run_section import PastModel, StageRow, document_with_run, with_run
from sentiment.reports.sections import Report
from sentiment.reports.verdict import badge, comparison
from tests.support.bundles import TRAIN, Trained, evaluated_metrics, metrics_of
from tests.support.reviews import contents

HOSTILE = [
    "<script>alert('boo')</script><img src=x onerror=alert(1)>",
    "</blockquote></li></ol></main><iframe src='http://example.invalid'></iframe>",
    '"><svg onload=alert(1)> &lt;b&gt; &amp; {{ 7 * 7 }} {% raw %}',
    "*bold* _soft_ `code` ~~gone~~ [link](http://example.invalid) ![x](http://example.invalid/x)",
    "http://example.invalid www.example.invalid <http://example.invalid> me@example.invalid",
    "# Heading\n\n> quote\n\n---\n\n1. one\n- two\n\n```\ncode\n```\n\n| a | b |\n| --- | --- |",
    "1. a list? + no - just words | and \\ back\\\\slashes \\",
    "turned \u202e around, \x00 \x1b[31m \ud800 and \x85 hidden",
]


DATA = {
    "files": [
        dict(name="test.ft.txt.bz2", read=3_001, ignored=250, repeated=12,
             rejected={"empty line": 1}),
        dict(name="train.ft.txt.bz2", read=12_000, ignored=0, repeated=0, rejected={}),
    ],
    "splits": [
        {"name": name, "rows": rows, "positive_share": 0.5, "tokens": 90 * rows,
         "unknown_share": 0.0123, "lengths": {"50%": 80, "95%": 210, "max": 1_234}}
        for name, rows in (("train", 12_000), ("validation", 1_500), ("test", 1_500))
    ],
    "duplicates": {
        "train": {"rows": 12_000, "repeated": 17, "also_in": {"validation": 2, "test": 3}},
        "validation": {"rows": 1_500, "repeated": 0, "also_in": {"train": 2, "test": 1}},
        "test": {"rows": 1_500, "repeated": 4, "also_in": {"train": 3, "validation": 1}},
    },
}  # fmt: skip


def mistake(
    text: str,
    *,
    row: int = 0,
    label: int = 0,
    probability: float = 0.9,
    words: list[str] | None = None,
    attributions: list[float] | None = None,
) -> Mistake:
    return Mistake(row, text, label, probability, words or [], attributions or [])


@pytest.fixture(scope="module")
def report() -> Report:
    history = [
        {
            "step": 50 * at,
            "epoch": at / 4,
            "train_loss": 0.6 / at,
            "validation_loss": 0.7 / at if at % 2 == 0 else None,
            "validation_accuracy": 1 - 0.3 / at if at % 2 == 0 else None,
            "learning_rate": 0.001,
        }
        for at in range(1, 10)
    ]
    return Report(
        title="Review sentiment: preset sample",
        data_note="Generated reviews: these results say nothing about real ones.",
        metrics=evaluated_metrics(1_500, seed=11),
        history=history,
        mistakes=[
            mistake(
                "The kettle leaks & hums. Lovely, truly lovely.",
                row=1_204,
                probability=0.9997,
                words=["leaks", "&", "hums", "lovely"],
                attributions=[-0.3, 0.001, -0.5, 1.25],
            ),
            mistake(
                "Not what I feared at all; I would not part with it.",
                row=88,
                label=1,
                probability=0.004,
            ),
        ],
        settings={"train": {"epochs": 2, "betas": [0.9, 0.999]}, "vocabulary": {"max_size": None}},
        details={"Training reviews": "12,000", "Vocabulary": "8,123 words"},
        baseline={
            "rows": 1_500,
            "accuracy": 0.8,
            "accuracy_interval": [0.779, 0.819],
            "loss": 0.45,
            "model": {"gained": 300, "lost": 45, "difference": 0.17, "p": 1e-9, "advice": None},
        },
        champion={
            "model": "train/12ab",
            "accuracy": 0.975,
            "accuracy_interval": [0.966, 0.982],
            "difference": -0.005,
        },
        data=DATA,
    )


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    return render_html(report)


def hostile(report: Report) -> Report:
    return replace(
        report,
        title=HOSTILE[0],
        data_note=HOSTILE[3],
        mistakes=[
            mistake(
                text, row=row, words=HOSTILE, attributions=[at - 3.5 for at in range(len(HOSTILE))]
            )
            for row, text in enumerate(HOSTILE)
        ],
        promotion=HOSTILE[1],
        settings={"a|b": {"<i>": "x | y <script>"}},
        details={"<u>fact</u>": "`one` | two"},
        data={
            **DATA,
            "files": [
                {
                    "name": "<b>a|b</b>.csv",
                    "read": 2,
                    "ignored": 0,
                    "repeated": 0,
                    "rejected": {"<i>|</i>": 1},
                }
            ],
        },
    )


def from_json(text: str) -> Report:
    content = json.loads(text)
    return Report(**{**content, "mistakes": [Mistake(**each) for each in content["mistakes"]]})


class Page(HTMLParser):
    """The elements of a page with their attributes, and its visible text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def tags(self) -> list[str]:
        return [tag for tag, _ in self.elements]

    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


class TestHtml:
    def test_has_the_headline_with_its_interval_and_the_majority(
        self, report: Report, page: str
    ) -> None:
        text = Page(page).text().replace("\N{NO-BREAK SPACE}", " ")
        low, high = report.metrics["accuracy_interval"]
        assert f"{report.metrics['accuracy'] * 100:.1f} %" in text
        assert f"95 % interval {low * 100:.1f}–{high * 100:.1f} %" in text
        assert f"would reach {report.metrics['majority_accuracy'] * 100:.1f} %" in text
        assert "Generated reviews: these results say nothing about real ones." in text

    def test_holds_every_part_in_order(self, page: str) -> None:
        parts = ["Confusion matrix", "Accuracy by length", "Accuracy by unknown words",
                 "Words and n-grams that push most",
                 "Most confident mistakes", "ROC curve", "Precision and recall",
                 "Calibration curve", "What each branch contributes", "Data",
                 "Training and settings", "Training curve"]  # fmt: skip
        body = page[page.index("</nav>") :]
        places = [body.index(f">{part}<") for part in parts if f">{part}<" in body]
        assert len(places) == len(parts) and places == sorted(places)
        assert Page(page).tags().count("svg") == 7

    def test_loads_nothing_from_outside(self, page: str) -> None:
        parsed = Page(page)
        assert not {"script", "img", "iframe", "object", "embed"} & set(parsed.tags())
        for tag, attributes in parsed.elements:
            for name, value in attributes.items():
                assert not name.startswith("on"), tag
                if name in {"src", "href", "xlink:href"}:
                    assert value is not None and re.match(r"#|data:,$", value), (tag, value)
        assert "@import" not in page
        assert set(re.findall(r"url\((.)", page)) == {"#"}
        policy = [a["content"] for t, a in parsed.elements if t == "meta" and "http-equiv" in a]
        assert policy and str(policy[0]).startswith("default-src 'none'")

    def test_ids_are_unique(self, page: str) -> None:
        ids = [attributes["id"] for _, attributes in Page(page).elements if "id" in attributes]
        assert ids and len(ids) == len(set(ids))

    def test_same_report_same_bytes(self, report: Report, page: str) -> None:
        assert render_html(report) == page

    def test_mistakes_show_label_answer_and_probability(self, page: str) -> None:
        text = Page(page).text().replace("\N{NO-BREAK SPACE}", " ")
        first = "labelled negative predicted positive probability of positive over 99.9 % row 1,204"
        assert first in text
        assert "predicted negative probability of positive 0.4 % row 88" in text
        assert "The kettle leaks &amp; hums." in page

    def test_words_are_marked_by_their_attribution_in_colour_and_line(self, page: str) -> None:
        for span in (
            '<span class="down1" title="-0.30">leaks</span>',
            '<span class="down2" title="-0.50">hums</span>',
            '<span class="up3" title="+1.25">lovely</span>',
        ):
            assert span in page
        assert "\n&amp;\n" in page  # hardly any effect
        assert "Towards positive: lovely +1.25 ." in Page(page).text()
        assert "Towards negative: hums -0.50, leaks -0.30 ." in Page(page).text()

    def test_branches_are_compared(self, report: Report, page: str) -> None:
        text = Page(page).text().replace("\N{NO-BREAK SPACE}", " ")
        lstm, ngrams, both = report.metrics["branches"]
        shares = [f"{part['accuracy'] * 100:.1f} %" for part in (lstm, ngrams, both)]
        for row in (
            "LSTM n-grams both",
            " ".join(["Accuracy", *shares]),
            f"Loss {lstm['loss']:.4f} {ngrams['loss']:.4f} {both['loss']:.4f}",
            "Factor 0.60 0.60 —",
            f"Gain of both, points {lstm['together']['difference'] * 100:+.1f} "
            f"{ngrams['together']['difference'] * 100:+.1f} —",
            "p < 0.001 < 0.001 —",
        ):  # fmt: skip
            assert row in text
        alone = replace(report, metrics=evaluated_metrics(1_500, seed=11, branches=1))
        assert "contributes" not in Page(render_html(replace(alone, mistakes=[]))).text()

    def test_what_fast_scoring_changes_is_said(self, report: Report, page: str) -> None:
        assert "--fast" not in page
        fast = {"share": 0.664, "changed": 3, "accuracy": 0.9605}
        told = replace(report, metrics={**report.metrics, "early_exit": fast})
        text = Page(render_html(told)).text().replace("\N{NO-BREAK SPACE}", " ")
        assert "a part of the model is enough for 66.4 % of these reviews" in text
        assert "changes 3 of 1,500 labels, and the accuracy is 96.0 %." in text
        assert "`sentiment score --fast`" in render_markdown(told)

    def test_the_baseline_is_compared_with(self, page: str) -> None:
        text = Page(page).text().replace("\N{NO-BREAK SPACE}", " ")
        assert "reaches 80.0 % (95 % interval 77.9–81.9 %, loss 0.4500)" in text
        assert "this model is 17.0 points better (McNemar’s exact test: p < 0.001)." in text
        assert "preset linear" not in text

    def test_a_baseline_that_would_do_is_recommended(self, report: Report) -> None:
        assert report.baseline is not None
        close: dict[str, object] = {"gained": 40, "lost": 45, "difference": -0.003, "p": 0.66}
        close["advice"] = linear_would_do(close, ["lstm"])
        level = replace(report, baseline={**report.baseline, "model": close})
        for shown in (Page(render_html(level)).text(), render_markdown(level)):
            assert "The test reviews do not tell this model from a linear one (p " in (
                shown.replace("\n", " ")
            )

    @pytest.mark.parametrize(
        ("names", "said"),
        [
            (["lstm", "ngrams", "together"], "The n-grams’ attributions are exact, the LSTM’s an"),
            (["ngrams"], "The attributions are exact."),
            (["lstm"], "The attributions are an approximation"),
        ],
    )
    def test_how_exact_the_attributions_are(
        self, report: Report, names: list[str], said: str
    ) -> None:
        (row, *_) = report.metrics["branches"]
        branches = [{**row, "name": name} for name in names]
        shown = replace(report, metrics={**report.metrics, "branches": branches})
        assert said in Page(render_html(shown)).text()

    def test_the_champion_is_compared_with(self, report: Report, page: str) -> None:
        for shown in (Page(page).text(), render_markdown(report)):
            assert (
                "The champion so far, train/12ab, reaches 97.5 % on the same reviews (95 % "
                "interval 96.6–98.2 %); this model is 0.5 points worse."
            ) in shown.replace("\N{NO-BREAK SPACE}", " ")
        alone = replace(report, champion=None, mistakes=[])
        assert "champion" not in render_html(alone) + render_markdown(alone)

    def test_the_data_is_described(self, report: Report, page: str) -> None:
        for shown in (Page(page).text(), re.sub(r"[|\s]+", " ", render_markdown(report))):
            shown = shown.replace("\N{NO-BREAK SPACE}", " ")
            for row in (
                "Reviews 12,000 1,500 1,500",
                "Positive 50.0 % 50.0 % 50.0 %",
                "Duplicates 17 0 4",
                "In training too — 2 3",
                "In validation too 2 — 1",
                "Median tokens 80 80 80",
                "Longest 1,234 1,234 1,234",
                "Unknown tokens 1.23 % 1.23 % 1.23 %",
            ):
                assert row in shown
            assert "3 of 1,500 test reviews (0.20 %) also occur among the training" in shown
            assert "test.ft.txt.bz2 3,001 250 12 1 empty line: 1" in shown.replace("\\", "")

    def test_calibration_says_what_scaling_changed(self, page: str) -> None:
        text = Page(page).text()
        assert (
            "The branches’ logits are scaled by 0.60 and 0.60, as fitted on the validation" in text
        )
        assert "without scaling the error would be 0.1230." in text

    def test_every_number_is_in_the_json(self, report: Report, page: str) -> None:
        again = from_json(report.to_json())
        assert again == report
        assert render_html(again) == page
        attacked = hostile(report)
        assert from_json(attacked.to_json()) == attacked

    def test_settings_are_flat_with_dotted_names(self, page: str) -> None:
        text = Page(page).text()
        assert "train.epochs 2" in text
        assert "train.betas [0.9, 0.999]" in text
        assert "vocabulary.max_size null" in text

    def test_untrusted_texts_stay_texts(self, report: Report, page: str) -> None:
        attacked = render_html(hostile(report))
        attacked.encode("utf-8")
        assert "<script" not in attacked
        harmless = set(Page(page).tags())
        assert set(Page(attacked).tags()) <= harmless
        text = Page(attacked).text()
        assert "<script>alert('boo')</script><img src=x onerror=alert(1)>" in text
        assert "&lt;b&gt; &amp; {{ 7 * 7 }} {% raw %}" in text
        assert not re.search("[\x00\x1b\u202e]", attacked)
        pulled = [a for t, a in Page(attacked).elements if t == "span" and "title" in a]
        assert len(pulled) == 8 * 6 and {a["class"] for a in pulled} >= {"up3", "down3"}

    def test_the_smallest_report(self, report: Report) -> None:
        one = np.ones(1, np.uint8)
        metrics = metrics_of(one, np.full((1, 1), -2.0), one.astype(np.int64), np.zeros(1))
        bare = Report("Bare", None, metrics, [], [], {}, {})
        text = Page(render_html(bare)).text()
        assert "ROC AUC —" in text
        for absent in ("contributes", "Training", "Most confident", "Details", "Settings"):
            assert absent not in text


class TestExcerpts:
    def shown(self, report: Report, text: str) -> str:
        lines = render_markdown(replace(report, mistakes=[mistake(text)])).split("\n")
        start = next(n for n, line in enumerate(lines) if line.startswith("**Labelled"))
        return lines[start + 2].removeprefix("> ")

    def test_long_texts_end_at_a_word_with_an_ellipsis(self, report: Report) -> None:
        shown = self.shown(report, "seven times " * 200)
        assert len(shown) <= LONGEST_TEXT + 2
        assert shown.endswith((" seven …", " times …"))

    def test_a_long_text_without_spaces_is_cut_as_well(self, report: Report) -> None:
        assert self.shown(report, "a" * 5_000) == "a" * LONGEST_TEXT + " …"

    def test_a_text_that_fits_is_whole(self, report: Report) -> None:
        assert self.shown(report, "b" * LONGEST_TEXT) == "b" * LONGEST_TEXT


class TestMarkdown:
    def test_has_the_same_numbers(self, report: Report) -> None:
        shown = render_markdown(report).replace("\N{NO-BREAK SPACE}", " ")
        counts = report.metrics["confusion"]
        assert f"**Accuracy {report.metrics['accuracy'] * 100:.1f} %**" in shown
        assert f"| ROC AUC | {report.metrics['roc_auc']:.4f} |" in shown
        assert f"| {counts['true_negative']:,} | {counts['false_positive']:,} |" in shown
        assert "| 200 | 1.00 | 0.1500 | 0.1750 | 92.50 % |" in shown
        assert "| 450 | 2.25 | 0.0667 | — | — |" in shown
        assert "probability of positive over 99.9 % · row 1,204" in shown
        assert "| train.epochs | 2 |" in shown
        assert "![" not in shown and "<svg" not in shown

    def test_every_table_is_rectangular(self, report: Report) -> None:
        for table in re.findall(r"(?:^\|.*\n)+", render_markdown(hostile(report)), re.MULTILINE):
            widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
            assert len(widths) == 1, table

    def test_untrusted_texts_stay_texts(self, report: Report) -> None:
        library = pytest.importorskip("markdown_it")
        reader = library.MarkdownIt("commonmark", {"html": True}).enable("table")
        attacked = render_markdown(hostile(report))
        attacked.encode("utf-8")
        assert "<script" not in attacked and "http://" not in attacked
        tags = set(Page(reader.render(attacked)).tags())
        assert tags <= {"h1", "h2", "h3", "p", "strong", "blockquote"} | {
            "table", "thead", "tbody", "tr", "th", "td"
        }  # fmt: skip

    @settings(deadline=None)
    @given(
        st.text(
            st.one_of(st.sampled_from("\\`*_[]()#+-.!|~<>&:/@=\"'1 \n\tw"), st.characters()),
            max_size=40,
        )
    )
    def test_a_reader_sees_every_text_as_it_was(self, report: Report, text: str) -> None:
        library = pytest.importorskip("markdown_it")
        reader = library.MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
        shown = TestExcerpts().shown(report, text)
        visible = re.sub("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]", "",
                         " ".join(text.split()))  # fmt: skip
        if visible.strip():
            quoted = escape(" ".join(visible.split()), quote=False).replace('"', "&quot;")
            assert reader.render(f"> {shown}") == f"<blockquote>\n<p>{quoted}</p>\n</blockquote>\n"


def test_the_card_has_results_settings_and_limits(report: Report) -> None:
    example = replace(report, settings={"train": {"epochs": 2}, "evaluate": {"threshold": 0.5}})
    card = render_card(example)
    assert card == render_card(example)
    assert f"**Accuracy {report.metrics['accuracy'] * 100:.1f}" in card
    assert "> **Note:** Generated reviews" in card
    assert "| train.epochs | 2 |" in card
    assert "evaluate.threshold" not in card
    assert "\n## Limits\n" in card and "\n## Use\n" in card
    assert "Note" not in render_card(replace(example, data_note=None))


@pytest.fixture(scope="module")
def evaluated(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("evaluated")
    bundle = sorted(trained.bundle.iterdir())
    shards = trained.test_tensors, trained.test_tokens, trained.test_reviews
    evaluate_model(bundle, *shards, evaluate=EvaluateConfig(mistakes=3), out=out)
    return out


MET = {"model": "train/12ab", "digest": "34cd", "accuracy": 0.6, "generated": False}
COMPARISON = [
    {"name": "model", "accuracy": 0.5, "accuracy_interval": [0.45, 0.55], "mcc": 0.01},
    {"name": "baseline", "accuracy": 0.7, "accuracy_interval": [0.66, 0.74], "mcc": 0.4,
     "gained": 10, "lost": 310, "difference": -0.2, "p": 1e-9, "advice": None},
    {"name": "majority", "label": "positive", "accuracy": 0.55, "accuracy_interval": None,
     "mcc": 0.0, "p": 0.3},
    {"name": "champion", "model": "train/12ab", "accuracy": 0.6,
     "accuracy_interval": [0.56, 0.64], "mcc": 0.2},
]  # fmt: skip
PROMOTION = {
    "outcome": "kept",
    "gates": {},
    "reason": "champion kept: 50% against 60%",
    "accuracy": 0.5,
    "rows": 1_500,
    "champion": MET,
    "comparison": COMPARISON,
}


def test_the_champions_accuracy_is_on_the_same_reviews() -> None:
    compared = against_champion(PROMOTION)
    assert compared == {
        "model": "train/12ab",
        "accuracy": 0.6,
        "accuracy_interval": list(wilson_interval(900, 1_500)),
        "difference": pytest.approx(-0.1),
    }
    for unknown in (None, {**MET, "accuracy": None}):
        assert against_champion({**PROMOTION, "champion": unknown}) is None


def test_the_model_stands_beside_all_that_it_has_to_beat(report: Report) -> None:
    beside = replace(report, comparison=COMPARISON, promotion="kept")
    axis = comparison(beside)
    assert axis is not None and (axis.low[:2], axis.high[:2]) == ("45", "75")
    own, _, majority, _ = axis.rows
    assert (own.left, own.width, own.at) == ("0.00", "33.33", "16.67")
    assert majority.width == "0.00" and majority.interval is None
    rows = [
        ("This model", "50.0\N{NO-BREAK SPACE}%", "0.010"),
        ("Linear baseline", "70.0\N{NO-BREAK SPACE}%", "0.400"),
        ("Always positive", "55.0\N{NO-BREAK SPACE}%", "0.000"),
        ("Champion so far", "60.0\N{NO-BREAK SPACE}%", "0.200"),
    ]
    text, page = render_markdown(beside), Page(render_html(beside)).text()
    for name, accuracy, mcc in rows:
        assert re.search(rf"\| {name} \| {accuracy} \| .* \| {mcc} \|", text)
        plain = accuracy.replace("\N{NO-BREAK SPACE}", " ")
        assert re.search(rf"{name} {plain} .{{0,40}} ?{mcc}", page)


@pytest.mark.parametrize(
    ("outcome", "why", "gates", "label", "reason"),
    [
        ("promoted", "promoted: 93%, the first champion", {}, "Promoted",
         "It is the first champion."),
        ("champion", "is the champion already: 93%", {}, "Champion already", "The model is the"),
        ("kept", "champion kept: 50% against 60%", {}, "Not promoted: kept back",
         "It is worse than the champion so far: 50.0 % against 60.0 % (MCC 0.010 against 0.200)."),
        ("kept", "champion kept: this model was rolled back, by me: no", {},
         "Not promoted: kept back", "This model was rolled back, by me: no."),
        ("refused", "refused: x", {"promote.match_baseline": "x"}, "Not promoted: failed gate",
         "The linear baseline is better: 70.0 % against 50.0 %, more than chance explains (p < 0"),
        ("refused", "refused: x", {"promote.beat_majority": "x"}, "Not promoted: failed gate",
         "It is not better than always answering “positive”: 50.0 % against 55.0 % (p = 0.300)."),
        ("refused", "refused: x", {"promote.min_accuracy": "accuracy 0.5 is below 0.9"},
         "Not promoted: failed gate", "Accuracy 0.5 is below 0.9."),
        (None, None, {}, "No comparison yet", "The model has not been compared"),
    ],
)  # fmt: skip
def test_the_verdict_comes_first(
    report: Report, outcome: str, why: str, gates: dict[str, str], label: str, reason: str
) -> None:
    judged = replace(
        report, outcome=outcome, promotion=why, gates=gates, comparison=COMPARISON, data_note=None
    )
    shown = badge(judged)
    assert shown.label == label
    assert shown.reason.replace("\N{NO-BREAK SPACE}", " ").startswith(reason)
    page = render_html(judged)
    assert page.index(shown.label) < page.index("Accuracy</") < page.index('class="contents"')
    assert f"**Verdict: {label}.**" in render_markdown(judged)


def with_scores(report: Report, rows: int = 400) -> Report:
    random = np.random.default_rng(3)
    labels = (random.random(rows) < 0.5).astype(np.uint8)
    logits = random.normal(np.where(labels, 1.0, -1.0), 1.0)
    others = {"linear baseline": probabilities(logits / 2)}
    scores = decide_by_scores(labels, probabilities(logits), others, threshold=0.5, measure="f1")
    return replace(report, scores=scores)


def test_the_scores_say_where_the_threshold_goes_and_what_people_read(report: Report) -> None:
    page = render_html(with_scores(report))
    assert page.count("<svg") == render_html(report).count("<svg") + 3
    assert page.count("linear baseline</text>") == 2  # in both curves
    assert "set train.threshold=f1" in page
    assert "If people read the " in page


def test_the_document_beside_a_runs_report_holds_all_that_it_shows(report: Report) -> None:
    stages = [StageRow("train", "cached", "2026-01-02 03:04:05", "1.5", "12ab", "nothing changed")]
    past = [
        PastModel(f"2026-01-0{day} 00:00:00", "12ab", 0.9, (0.88, 0.92), day == 1) for day in (1, 2)
    ]
    parts = {"Preset": "sample"}, stages, past
    page = with_run(render_html(with_scores(report)), [], *parts)
    content = json.loads(document_with_run(with_scores(report).to_json(), *parts))
    run = content.pop("run")
    again = with_run(
        render_html(from_json(json.dumps(content))),
        [],
        run["details"],
        [StageRow(**row) for row in run["stages"]],
        [PastModel(**model) for model in run["past"]],
    )
    assert again == page
    figures = re.findall("<figure>.*?</figure>", page, re.DOTALL)
    assert len(figures) == page.count("<svg") == 11
    assert all("<table" in figure for figure in figures)


def test_false_positives_and_false_negatives_stand_apart(report: Report, page: str) -> None:
    counts = report.metrics["confusion"]
    first = page.index(f"False positives: {counts['false_positive']} negative reviews taken for")
    second = page.index(f"False negatives: {counts['false_negative']} positive reviews taken for")
    assert first < page.index("row 1,204") < second < page.index("row 88")
    assert page.count("the 1 most confident") == 2


def test_the_words_that_push_most_are_listed_as_texts(report: Report, page: str) -> None:
    text = Page(page).text()
    assert "Positive Weight Reviews at first +2.5 31" in text
    assert "Negative Weight Reviews not <b>good -3.2 1,204" in text
    assert "| not &lt;b&gt;good | -3.2 | 1,204 |" in render_markdown(report)
    alone = replace(report, metrics=evaluated_metrics(1_500, seed=11, branches=1))
    for shown in (Page(render_html(alone)).text(), render_markdown(alone)):
        assert "This model has no n-gram branch" in shown and "at first" not in shown


def test_the_contents_lead_to_every_section(page: str) -> None:
    elements = Page(page).elements
    linked = [a["href"].removeprefix("#") for tag, a in elements if tag == "a" and a["href"]]
    assert linked == [a["id"] for tag, a in elements if tag == "section"]


def test_every_chart_has_its_numbers_as_a_table(page: str) -> None:
    figures = re.findall("<figure>.*?</figure>", page, re.DOTALL)
    assert len(figures) == page.count("<svg")
    for figure in figures:
        assert figure.count("<table") == 1 and figure.count("<tr>") > 1


def test_a_class_that_the_model_overlooks_is_said(report: Report) -> None:
    counts = {"true_negative": 3, "false_positive": 47, "false_negative": 2, "true_positive": 948}
    rare = replace(report, metrics={**report.metrics, "confusion": counts})
    for page in (render_html(rare), render_markdown(rare)):
        assert "Only 3 of 50 negative test reviews are recognised." in page
        assert "train.class_weight and train.threshold make them count more" in page
    for page in (render_html(report), render_markdown(report)):
        assert "test reviews are recognised" not in page


class TestStage:
    """What the stage writes, from the files of a real training and evaluation."""

    def write(
        self, trained: Trained, evaluated: Path, out: Path, generated: bool = False
    ) -> dict[str, str]:
        out.mkdir(exist_ok=True)
        promotion = out.with_suffix(".json")
        promotion.write_text(json.dumps(PROMOTION))
        linear = out.with_suffix(".linear")
        linear.mkdir(exist_ok=True)
        train_baseline(trained.train_tensors, trained.test_tensors, trained.vocabulary, out=linear)
        duplicates = out.with_suffix(".duplicates")
        duplicates.write_text(json.dumps(DATA["duplicates"]))
        write_report(
            evaluated / "metrics.json",
            evaluated / "predictions.parquet",
            evaluated / "mistakes.parquet",
            evaluated / "suspects.parquet",
            trained.bundle / "history.parquet",
            trained.bundle / "config.json",
            promotion,
            out.with_suffix(".linear") / "baseline.json",
            out.with_suffix(".linear") / "predictions.parquet",
            [evaluated / "predictions.parquet"],
            duplicates,
            evaluate=EvaluateConfig(mistakes=3),
            title="Lamps and tents",
            generated=generated,
            details={"Lines read": "360"},
            quality={name: DATA[name] for name in ("files", "splits")},
            out=out,
        )
        return {name: content.decode() for name, content in contents(out).items()}

    def test_title_details_settings_training_and_mistakes(
        self, trained: Trained, evaluated: Path, tmp_path: Path
    ) -> None:
        pages = self.write(trained, evaluated, tmp_path)
        written = {"report.html", "metrics.json", "report.md", "README.md", "suspected-labels.csv"}
        assert set(pages) == written
        worst = pq.read_table(evaluated / "mistakes.parquet")["text"].to_pylist()
        for text in (
            "Lamps and tents",
            "Lines read",
            "train.learning_rate",
            f"{TRAIN.learning_rate}",
            "evaluate.mistakes",
            *(text[:60] for text in worst),
        ):
            assert text in pages["report.html"]
        assert '<p class="reason">It is worse than the champion so far: ' in pages["report.html"]
        assert "\n**Verdict: Not promoted: kept back.** It is worse than the" in pages["report.md"]
        assert "## Training" in pages["report.md"]
        assert pages["report.md"].count("**Labelled") == len(worst) == 3

    @pytest.mark.parametrize("generated", [True, False])
    def test_only_reports_on_generated_reviews_say_so(
        self, trained: Trained, evaluated: Path, tmp_path: Path, generated: bool
    ) -> None:
        pages = self.write(trained, evaluated, tmp_path, generated)
        del pages["suspected-labels.csv"]  # a list for people who saw the report
        for page in pages.values():
            assert (GENERATED_NOTE in page) is generated

    def test_equal_inputs_give_equal_bytes(
        self, trained: Trained, evaluated: Path, tmp_path: Path
    ) -> None:
        pages = [self.write(trained, evaluated, tmp_path / name) for name in ("one", "other")]
        assert pages[0] == pages[1]
