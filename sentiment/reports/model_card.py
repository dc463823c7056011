"""The model card, Markdown to lie beside a bundle: what the model is, how good, its limits."""

from collections.abc import Mapping
from typing import Any

from sentiment.reports import sections
from sentiment.reports.markdown import escape, table, text_table
from sentiment.reports.sections import Report, number, percent


def render_card(report: Report) -> str:
    """Return the card of a model that was measured on test reviews."""
    figures = sections.headline(report.metrics)
    told = f"""**Accuracy {figures["accuracy"]}** ({figures["interval"]})
on {figures["rows"]} test reviews that it was not trained on.

{table(("Measure", "Value"), sections.measures(report.metrics))}"""
    return _card(report.title, report.data_note, told, report.facts, report.settings)


def render_first_card(
    title: str, note: str | None, trained: Mapping[str, Any], settings: Mapping[str, Any]
) -> str:
    """Return the card of a model that is trained and not evaluated.

    ``note`` is a warning to read first, ``trained`` the facts that training returned, ``settings``
    the bundle's.
    """
    accuracy, loss = percent(trained["validation_accuracy"], 2), number(trained["validation_loss"])
    told = f"""Not measured on test reviews yet. On the validation reviews, by which its weights
were chosen: accuracy {accuracy}, loss {loss}."""
    facts = {
        "Training reviews": f"{trained['rows']:,}",
        "Parameters": f"{trained['parameters']:,}",
        "Steps": f"{trained['steps']:,}",
        "Best at step": f"{trained['best_step']:,}",
        "Trained on": trained["device"],
    }
    return _card(title, note, told, facts, settings)


def _card(
    title: str,
    note: str | None,
    told: str,
    facts: Mapping[str, str],
    settings: Mapping[str, Any],
) -> str:
    recipe = [pair for pair in sections.dotted(settings) if pair[0].startswith("train.")]
    warning = f"> **Note:** {escape(note)}\n\n" if note else ""
    return f"""# Model card: {escape(title)}

{warning}An LSTM that gives the probability that a review is positive.

## Test figures
{told}

## Data
{text_table(("Fact", "Value"), facts.items())}

## Recipe
{text_table(("Setting", "Value"), recipe)}

## Limits
- It knows two answers, positive and negative, and reads the language of its training reviews.
- Of a text longer than `tensors.max_length` tokens it reads the beginning only.
- The figures hold for reviews like the test reviews; for others, measure anew.

## Use
`sentiment predict TEXT --model FOLDER`, or in Python `sentiment.Classifier.load(FOLDER)`.
"""
