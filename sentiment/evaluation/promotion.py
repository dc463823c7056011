"""Stage ``promote``: whether a model becomes the champion, the model in use."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq
from pydantic import Field

from sentiment.evaluation.comparison import CHANCE, compare, fisher, linear_would_do
from sentiment.evaluation.metrics import (
    Flags,
    confusion_counts,
    metrics_from_counts,
    wilson_interval,
)
from sentiment.model.registry import DEFAULT, NAME
from sentiment.progress import Progress, silent
from sentiment.settings import Settings, operational

Row = dict[str, Any]


class PromoteConfig(Settings):
    """What a model needs to become the champion."""

    min_accuracy: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Fail the run, after its report, if the test accuracy is lower; no limit if "
        "null. Yours to set: what can be reached depends on the reviews.",
    )
    beat_majority: bool = Field(
        True,
        description="Fail the run, after its report, unless the model is better than the "
        "majority-class baseline (Fisher's exact test of its answers and the labels, p < 0.05).",
    )
    match_baseline: bool = Field(
        True,
        description="Fail the run, after its report, if the linear baseline is better: right more "
        "often (McNemar's exact test, p < 0.05) and higher in MCC.",
    )
    min_gain: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Gain in MCC over the champion that must be exceeded; 0: any gain.",
    )
    champion: str = operational(
        DEFAULT,
        description="Name of the champion that the model is compared with and may replace.",
        pattern=NAME,
    )


class Candidate(Settings):
    """A model that was just evaluated, and what it was evaluated on.

    ``digest`` is the digest of the bundle, ``tests`` that of the test reviews; ``threshold`` is
    None for the bundle's own; ``generated`` says whether the reviews are generated.
    """

    digest: str
    tests: str
    threshold: float | None
    generated: bool


class Incumbent(Settings):
    """The current champion, with its accuracy and MCC on the candidate's test reviews.

    They are None where they cannot matter: the candidate is the champion, or only one of the two
    was measured on generated reviews.
    """

    model: str
    digest: str
    accuracy: float | None
    mcc: float | None = None
    generated: bool


Outcome = Literal["promoted", "champion", "kept", "refused"]


@dataclass(frozen=True)
class Verdict:
    """The outcome for a candidate, and a sentence that says why.

    ``promoted``: it becomes the champion; ``champion``: it is already; ``kept``: the champion
    stays; ``refused``: it fails a gate, so that it becomes no champion.
    """

    outcome: Outcome
    reason: str


def promote_model(
    metrics: Path,
    predictions: Path,
    baseline_predictions: Path,
    *,
    promote: PromoteConfig,
    candidate: Candidate,
    champion: Incumbent | None,
    rolled_back: str | None,
    out: Path,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Judge a candidate by what ``evaluate`` and ``baseline`` wrote; write ``promotion.json``.

    Both predictions are for the same reviews. Returns the content: the verdict, the candidate's
    figures, the ``comparison`` with others (see :func:`compare_all`), and under ``gates`` why each
    gate failed, by its setting. Only judges; ``tasks.registry.champion`` carries out the promotion.
    """
    measured = json.loads(metrics.read_bytes())
    model = pq.read_table(predictions)
    logits = pq.read_table(baseline_predictions)["logit"].to_numpy()
    positive = model["label"].to_numpy() == 1
    # The baseline has no threshold of its own.
    at = 0.5 if candidate.threshold is None else candidate.threshold
    rows = compare_all(
        measured,
        positive,
        model["probability"].to_numpy() >= measured["threshold"],
        logits >= math.log(at / (1 - at)),
        champion,
    )
    gates = dict(failed_gates(rows, promote))
    figures = {name: measured[name] for name in ("accuracy", "mcc", "rows")}
    verdict = judge(
        figures["accuracy"], figures["mcc"], candidate, champion, promote, rolled_back, gates
    )
    content = {
        **asdict(verdict),
        **figures,
        "gates": gates,
        "comparison": rows,
        "candidate": candidate.model_dump(),
        "champion": champion and champion.model_dump(),
    }
    (out / "promotion.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return content


def compare_all(
    measured: Mapping[str, Any],
    positive: Flags,
    predicted: Flags,
    linear: Flags,
    champion: Incumbent | None,
) -> list[Row]:
    """Compare a model with all that it has to beat, on the same reviews.

    ``measured`` are its metrics; the arrays (n,) say which reviews are positive, and which of them
    the model and the linear baseline call so. Each row has ``name``, ``accuracy``,
    ``accuracy_interval`` and ``mcc``: ``model``, ``baseline``, ``majority`` (always the ``label``
    that is more frequent; no interval), and ``champion`` if its figures are known. ``p`` is what
    chance would do as well: for the majority's row Fisher's test of the model's answers, for the
    baseline's McNemar's test, with the other results of ``compare``, and an ``advice`` if a linear
    model would do.
    """
    other = metrics_from_counts(confusion_counts(positive, linear))
    names = ("accuracy", "accuracy_interval", "mcc")
    against_linear = compare(predicted == positive, linear == positive)
    branches = [branch["name"] for branch in measured["branches"]]
    rows: list[Row] = [
        {"name": "model", **{name: measured[name] for name in names}},
        {
            "name": "baseline",
            **{name: other[name] for name in names},
            **against_linear,
            "advice": linear_would_do(against_linear, branches),
        },
        {
            "name": "majority",
            "label": "positive" if measured["positive_share"] >= 0.5 else "negative",
            "accuracy": measured["majority_accuracy"],
            "accuracy_interval": None,
            "mcc": 0.0,
            "p": fisher(measured["confusion"]),
        },
    ]
    if champion is not None and champion.accuracy is not None and champion.mcc is not None:
        correct = round(champion.accuracy * positive.size)
        rows.append(
            {
                "name": "champion",
                "model": champion.model,
                "accuracy": champion.accuracy,
                "accuracy_interval": list(wilson_interval(correct, positive.size)),
                "mcc": champion.mcc,
            }
        )
    return rows


def label_of(row: Row) -> str:
    """Return what a person calls a row of the comparison."""
    if row["name"] == "majority":
        return f"always {row['label']}"
    names = {"model": "this model", "baseline": "linear baseline", "champion": "champion so far"}
    return names[row["name"]]


def failed_gates(rows: Sequence[Row], config: PromoteConfig) -> Iterator[tuple[str, str]]:
    """Yield the setting of each gate that a model fails, and why, from its comparison."""
    found = {row["name"]: row for row in rows}
    model, linear, majority = found["model"], found["baseline"], found["majority"]
    if config.min_accuracy is not None and model["accuracy"] < config.min_accuracy:
        yield (
            "promote.min_accuracy",
            f"accuracy {model['accuracy']:.6g} is below {config.min_accuracy:g}",
        )
    if config.beat_majority and not majority["p"] < CHANCE:
        yield (
            "promote.beat_majority",
            f"accuracy {model['accuracy']:.2%}, MCC {model['mcc']:.3f}, not significantly better "
            f'than always answering "{majority["label"]}", {majority["accuracy"]:.2%} '
            f"(p {majority['p']:.2g})",
        )
    # An answer that hardly changes can be right more often, but its MCC is low.
    worse = linear["lost"] > linear["gained"] and linear["p"] < CHANCE
    if config.match_baseline and worse and linear["mcc"] > model["mcc"]:
        yield (
            "promote.match_baseline",
            f"accuracy {model['accuracy']:.2%}, MCC {model['mcc']:.3f}, and the linear baseline "
            f"is better: {linear['accuracy']:.2%}, MCC {linear['mcc']:.3f} (p {linear['p']:.2g})",
        )


def judge(
    accuracy: float,
    mcc: float,
    candidate: Candidate,
    champion: Incumbent | None,
    config: PromoteConfig,
    rolled_back: str | None = None,
    gates: Mapping[str, str] | None = None,
) -> Verdict:
    """Decide about a candidate with these figures on the test reviews.

    ``champion`` is None if there is none yet. ``rolled_back`` says who rolled this model back as
    champion, and why, if anyone did. ``gates`` says why each failed gate failed.
    """
    reached = f"{accuracy:.2%}"
    if gates:
        return Verdict("refused", f"refused: {'; '.join(gates.values())}")
    if champion is None:
        return Verdict("promoted", f"promoted: {reached}, the first champion")
    if champion.digest == candidate.digest:
        return Verdict("champion", f"is the champion already: {reached}")
    if rolled_back is not None:
        return Verdict("kept", f"champion kept: this model was rolled back, {rolled_back}")
    if candidate.generated and not champion.generated:
        return Verdict("kept", "champion kept: generated reviews say nothing about real ones")
    if champion.generated and not candidate.generated:
        return Verdict("promoted", f"promoted: {reached}, in place of a model of generated reviews")
    if champion.accuracy is None or champion.mcc is None:
        raise ValueError(f"the champion {champion.model} has not been measured")
    against = (
        f"{reached} against {champion.accuracy:.2%} (MCC {mcc:.3f} against {champion.mcc:.3f})"
    )
    # Rounded to far below one review's share, so that 0.92 - 0.91 is not more than 0.01.
    gain = round(mcc - champion.mcc, 12)
    if gain > config.min_gain:
        return Verdict("promoted", f"promoted: {against}")
    if gain > 0:
        return Verdict(
            "kept", f"champion kept: {against}, an MCC more than {config.min_gain:g} higher needed"
        )
    return Verdict("kept", f"champion kept: {against}, {'worse' if gain < 0 else 'no better'}")
