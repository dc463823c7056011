"""The outcome of scoring files: as a table for a person, and as Markdown for the Prefect UI."""

from collections.abc import Iterator
from typing import Any

from rich import box
from rich.table import Table

from sentiment.data.labels import Labels, describe_labels, in_lines
from sentiment.model.registry import OF_GENERATED

Row = tuple[str, str]
PREFIX = "__label__"
BARELY_KNOWN = 0.05  # share of the scored rows above which there is a warning


def score_rows(summary: dict[str, Any]) -> Iterator[Row]:
    """Yield the summary (see :func:`score_files`) as names and values."""
    yield "rows", f"{summary['rows']:,}"
    yield "scored", f"{summary['scored']:,}"
    yield "bad rows", bad_rows(summary)
    if summary["scored"]:
        yield "positive", f"{summary['positive']:,} ({summary['positive_share']:.2%})"
    if summary["exited"]:
        share = summary["exited"] / summary["scored"]
        yield "early exit", f"{summary['exited']:,} ({share:.2%}) by a part of the model"
    if barely := summary["barely_known"]:
        share = barely / summary["scored"]
        yield "barely known", f"{barely:,} ({share:.2%}): fewer than half of the words are known"
    if summary["other_labels"]:
        yield "unknown labels", f"{summary['other_labels']:,}"
    if metrics := summary["metrics"]:
        low, high = metrics["accuracy_interval"]
        yield "labelled rows", f"{metrics['rows']:,}"
        yield "accuracy", f"{metrics['accuracy']:.2%} (95 % interval {low:.2%} to {high:.2%})"
        yield "loss", f"{metrics['loss']:.4f}"
        for name in ("precision", "recall", "f1"):
            yield name, "undefined" if metrics[name] is None else f"{metrics[name]:.2%}"
    yield from drift_rows(summary)
    if rate := summary["rows_per_second"]:
        shown = f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
        yield "speed", f"{shown} rows/s, {summary['seconds']:,.1f} s"
    else:
        yield "speed", "nothing was left to score"


def bad_rows(figures: dict[str, Any]) -> str:
    """Return how many rows could not be scored, and why."""
    reasons = [f"{why}: {number:,}" for why, number in figures["bad_rows_by_reason"].items()]
    return f"{figures['bad_rows']:,}" + (f" ({', '.join(reasons)})" if reasons else "")


def drift_rows(summary: dict[str, Any]) -> Iterator[Row]:
    """Yield how far the reviews drift from the training reviews."""
    drift = summary["drift"]
    if drift is None:
        yield "drift", "not available" + ("" if summary["scored"] else ": no row was scored")
        return
    label, length, unknown = drift["label_share"], drift["length_psi"], drift["unknown_share"]
    yield "drift: positive", f"{label['scored']:.1%}, training {label['training']:.1%}"
    yield (
        "drift: lengths",
        f"stability index {length['distance']:.3f}; 10th, 50th, 90th percentile "
        f"{listed(length['scored'])}, training {listed(length['training'])} words",
    )
    yield (
        "drift: unknown",
        f"{unknown['scored']:.1%} of the words, training {unknown['training']:.1%}",
    )


def listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))


def warnings_of(summary: dict[str, Any]) -> list[str]:
    """Return what to look at before using the scores."""
    warnings = [OF_GENERATED] if summary["generated"] else []
    warnings += summary["drift"]["warnings"] if summary["drift"] else []
    if summary["barely_known"] > BARELY_KNOWN * summary["scored"]:
        warnings.append(
            f"The model knows fewer than half of the words of {summary['barely_known']:,} rows, so "
            "their scores say little. Are they in another language than the training reviews?"
        )
    if others := summary["other_labels"]:
        rows = "1 row has" if others == 1 else f"{others:,} rows have"
        found, labels = summary["labels_found"], Labels(**summary["labels"])
        if all(name.startswith(PREFIX) for name in found):  # of lines, where 1 and 2 are known
            found = {name.removeprefix(PREFIX): number for name, number in found.items()}
            labels = in_lines(labels)
        warnings.append(
            f"{rows} a label that is neither negative nor positive, so the other labels may be "
            f"misread too. {describe_labels(found, labels, '')}"
        )
    return warnings


def scores_table(summary: dict[str, Any]) -> Table:
    """Show the summary on a terminal."""
    table = Table(show_header=False, box=box.ROUNDED)
    for name, value in score_rows(summary):
        table.add_row(name, value)
    return table


def scores_markdown(summary: dict[str, Any]) -> str:
    """Show the summary in the Prefect UI, the warnings first."""
    lines = [f"**Warning:** {warning}\n" for warning in warnings_of(summary)]
    lines += ["| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in score_rows(summary)]
    lines += [f"| model | `{summary['model']}` |", ""]
    lines += ["| file | rows | bad rows | positive |", "|---|---|---|---|"]
    for file in summary["files"]:
        share = "" if file["positive_share"] is None else f"{file['positive_share']:.2%}"
        lines.append(f"| `{file['input']}` | {file['rows']:,} | {bad_rows(file)} | {share} |")
    return "\n".join(lines) + "\n"
