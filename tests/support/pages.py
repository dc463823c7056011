"""The pages beside the report, with long words and names, in all their parts."""

from collections.abc import Callable

import numpy as np

from sentiment.evaluation.comparison import compare
from sentiment.evaluation.side_by_side import Answers, differences, figures
from sentiment.explain.explanation import Activity, Explanation
from sentiment.reports.compare_page import render_comparison
from sentiment.reports.comparison import Comparison, Disagreement
from sentiment.reports.explanation_page import render_explanation
from sentiment.reports.study_page import StudyTrial, render_study


def comparison_page() -> str:
    random = np.random.default_rng(1)
    labels = (random.random(300) < 0.5).astype(np.uint8)
    one, two = (
        Answers(labels, np.clip(labels * 0.4 + random.random(300) * 0.6, 0, 1), 0.5)
        for _ in range(2)
    )
    review = Disagreement(1, 0.9, 0.1, "so good that " * 30 + "unbreakable" * 20)
    return render_comparison(
        Comparison(
            names=("champion", "storage/train/" + "0123456789abcdef" * 4),
            about=({"data": "/a/" + "long-folder" * 9}, {"model": "0123456789abcdef"}),
            settings={
                "train.model.ngrams.learning_rate": (0.03, None),
                "x.labels": ({}, ["a"] * 9),
            },
            unknown={"ingest": "champion"},
            rows=(300, 300),
            thresholds=(0.5, 0.5),
            figures=(figures(one), figures(two)),
            difference=differences(one, two),
            test=compare(two.right, one.right),
            only_a=[review],
            only_b=[review],
        )
    )


def explanation_page() -> str:
    words = (
        "a",
        "lovely",
        "pneumonoultramicroscopicsilicovolcanoconiosis" * 3,
        "लैंप",
        *"broke!",
    ) * 3
    column = np.linspace(0, 1, len(words))
    activity = Activity(column, column, column, 5 * column)
    return render_explanation(
        Explanation(
            words=words,
            known=tuple(len(word) < 40 for word in words),
            left_out=7,
            gap=4,
            probability=0.9,
            logit=2.2,
            baseline=-0.1,
            attributions=np.linspace(-1, 1, len(words)),
            running=column,
            forward=activity,
            backward=activity,
        )
    )


def study_page() -> str:
    trials = [
        StudyTrial(
            number=number,
            state=("complete", "pruned", "failed")[number % 3],
            loss=None if number % 3 == 2 else 0.7 / number,
            accuracy=0.9,
            seconds=12.0,
            values={"train.model.ngrams.learning_rate": 0.001 * number, "tokenize.x": "keep"},
            losses=[] if number % 3 == 2 else [0.9 / number, 0.7 / number],
            note="the loss is not a number " * 5 if number % 3 == 2 else "",
        )
        for number in range(1, 10)
    ]
    importances = {"train.model.ngrams.learning_rate": 0.9, "tokenize.x": 0.1}
    details = {"data": "/a/" + "long-folder" * 9}
    return render_study("mine-tuned", trials, importances, details, log=[*importances][:1])


PAGES: dict[str, Callable[[], str]] = {
    "comparison": comparison_page,
    "explanation": explanation_page,
    "study": study_page,
}
