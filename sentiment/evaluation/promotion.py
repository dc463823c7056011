"""Stage ``promote``: whether a model becomes the champion, the one that is used."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from sentiment.progress import Progress, silent
from sentiment.settings import Settings


class PromoteConfig(Settings):
    """What a model has to reach to become the champion."""

    min_accuracy: float = Field(
        0.5, ge=0, le=1, description="Test accuracy below which a run fails, once it has reported."
    )
    min_gain: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Test accuracy that a model must gain on the champion; more than this, so that "
        "with 0 it has to be better.",
    )


class Candidate(Settings):
    """A model that was just evaluated, and what it was evaluated on.

    ``digest`` is that of the bundle's bytes, ``tests`` that of the test reviews; ``generated`` says
    that the reviews were made up.
    """

    digest: str
    tests: str
    threshold: float
    generated: bool


class Opponent(Settings):
    """The champion that a candidate meets, with its accuracy on the candidate's test reviews.

    The accuracy is None where nothing hangs on it: the candidate is that champion, or is measured
    on generated reviews and the champion on real ones.
    """

    model: str
    digest: str
    accuracy: float | None
    generated: bool


Outcome = Literal["promoted", "champion", "kept", "refused"]


@dataclass(frozen=True)
class Verdict:
    """What becomes of a candidate, and why in words.

    ``promoted``: it is the new champion; ``champion``: it was that already; ``kept``: another one
    stays champion; ``refused``: it is not good enough whatever the champion is.
    """

    outcome: Outcome
    reason: str


def promote_model(
    metrics: Path,
    *,
    promote: PromoteConfig,
    candidate: Candidate,
    champion: Opponent | None,
    withdrawn: str | None,
    out: Path,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Judge a candidate by its ``metrics.json`` and write ``promotion.json``; return the same.

    Nothing is promoted here: that is for whoever keeps the champion.
    """
    figures = {name: json.loads(metrics.read_bytes())[name] for name in ("accuracy", "rows")}
    verdict = judge(figures["accuracy"], candidate, champion, promote, withdrawn)
    content = {
        **asdict(verdict),
        **figures,
        "candidate": candidate.model_dump(),
        "champion": champion and champion.model_dump(),
    }
    (out / "promotion.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return content


def judge(
    accuracy: float,
    candidate: Candidate,
    champion: Opponent | None,
    config: PromoteConfig,
    withdrawn: str | None = None,
) -> Verdict:
    """Say what becomes of a candidate with this test accuracy.

    ``champion`` is None where there is none yet; ``withdrawn`` says who took the candidate back as
    champion and why, if somebody did.
    """
    reached = f"{accuracy:.2%}"
    if accuracy < config.min_accuracy:
        return Verdict("refused", f"accuracy {accuracy:.6g} is below {config.min_accuracy:g}")
    if champion is None:
        return Verdict("promoted", f"promoted: {reached}, the first champion")
    if champion.digest == candidate.digest:
        return Verdict("champion", f"is the champion already: {reached}")
    if withdrawn is not None:
        return Verdict("kept", f"champion kept: this model was withdrawn, {withdrawn}")
    if champion.accuracy is None:
        return Verdict("kept", "champion kept: generated reviews say nothing about real ones")
    against = f"{reached} against {champion.accuracy:.2%}"
    # Rounded far below one review's share, so that 0.92 gains no more than 0.01 on 0.91.
    gain = round(accuracy - champion.accuracy, 12)
    if gain > config.min_gain:
        return Verdict("promoted", f"promoted: {against}")
    if gain > 0:
        return Verdict(
            "kept", f"champion kept: {against}, more than {config.min_gain:.2%} better needed"
        )
    by = f"{-100 * gain:.3g} percentage points worse" if gain < 0 else "no better"
    return Verdict("kept", f"champion kept: {against}, {by}")
