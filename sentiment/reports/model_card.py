"""The model card, a Markdown file in the bundle: what the model is, its accuracy, its limits."""

from collections.abc import Mapping
from typing import Any

from sentiment.reports import sections
from sentiment.reports.markdown import escape, table, text_table
from sentiment.reports.numbers import number, percent
from sentiment.reports.sections import Report


def render_card(report: Report) -> str:
    """Return the card of an evaluated model."""
    headline = sections.headline(report.metrics)
    results = f"""**Accuracy {headline["accuracy"]}** ({headline["interval"]})
on {headline["rows"]} test reviews that it was not trained on.

{table(("Measure", "Value"), sections.measures(report.metrics))}"""
    return _card(report.title, report.data_note, results, report.details, report.settings)


def render_first_card(
    title: str, note: str | None, trained: Mapping[str, Any], settings: Mapping[str, Any]
) -> str:
    """Return the card of a model that is trained but not evaluated.

    ``note`` is a warning to read first, ``trained`` the statistics that training returned,
    ``settings`` the bundle's.
    """
    accuracy, loss = percent(trained["validation_accuracy"], 2), number(trained["validation_loss"])
    results = f"""Not evaluated on test reviews yet. On the validation reviews, by which its weights
were chosen: accuracy {accuracy}, loss {loss}."""
    details = {
        "Training reviews": f"{trained['rows']:,}",
        "Parameters": f"{trained['parameters']:,}",
        "Steps": f"{trained['steps']:,}",
        "Best at step": f"{trained['best_step']:,}",
        "Trained on": trained["device"],
    }
    return _card(title, note, results, details, settings)


def _card(
    title: str,
    note: str | None,
    results: str,
    details: Mapping[str, str],
    settings: Mapping[str, Any],
) -> str:
    training = [pair for pair in sections.dotted(settings) if pair[0].startswith("train.")]
    linear = ("train.model.lstm", "false") in training
    kind = "A linear model over n-grams" if linear else "An LSTM"
    warning = f"> **Note:** {escape(note)}\n\n" if note else ""
    return f"""# Model card: {escape(title)}

{warning}{kind} that predicts the probability that a review is positive.

## Results
{results}

## Details
{text_table(("Detail", "Value"), details.items())}

## Training settings
{text_table(("Setting", "Value"), training)}

## Limits
- It has two answers, positive and negative, and reads the language of its training reviews.
- It reads at most `tensors.max_length` tokens of a text; `tensors.cut` says which.
- The results hold for reviews like the test reviews; measure again on others.

## Use
`sentiment predict TEXT --model FOLDER`, or in Python `sentiment.Classifier.load(FOLDER)`.
"""
