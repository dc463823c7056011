"""Stage ``promote``: whether a model becomes the champion, the model in use."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from sentiment.model.registry import DEFAULT, NAME
from sentiment.progress import Progress, silent
from sentiment.settings import Settings, operational


class PromoteConfig(Settings):
    """What a model needs to become the champion."""

    min_accuracy: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Fail the run, after its report, if the test accuracy is lower.",
    )
    min_gain: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Gain in test accuracy over the champion that must be exceeded; 0: any gain.",
    )
    champion: str = operational(
        DEFAULT,
        description="Name of the champion that the model is compared with and may replace.",
        pattern=NAME,
    )


class Candidate(Settings):
    """A model that was just evaluated, and what it was evaluated on.

    ``digest`` is the digest of the bundle, ``tests`` that of the test reviews; ``generated`` says
    whether the reviews are generated.
    """

    digest: str
    tests: str
    threshold: float
    generated: bool


class Incumbent(Settings):
    """The current champion, with its accuracy on the candidate's test reviews.

    The accuracy is None where it cannot matter: the candidate is the champion, or it was measured
    on generated reviews and the champion on real ones.
    """

    model: str
    digest: str
    accuracy: float | None
    generated: bool


Outcome = Literal["promoted", "champion", "kept", "refused"]


@dataclass(frozen=True)
class Verdict:
    """The outcome for a candidate, and a sentence that says why.

    ``promoted``: it becomes the champion; ``champion``: it is already; ``kept``: the champion
    stays; ``refused``: its accuracy is too low for any champion.
    """

    outcome: Outcome
    reason: str


def promote_model(
    metrics: Path,
    *,
    promote: PromoteConfig,
    candidate: Candidate,
    champion: Incumbent | None,
    rolled_back: str | None,
    out: Path,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Judge a candidate by its ``metrics.json`` and write ``promotion.json``; return the same.

    Only judges; ``tasks.registry.champion`` carries out the promotion.
    """
    measured = {name: json.loads(metrics.read_bytes())[name] for name in ("accuracy", "rows")}
    verdict = judge(measured["accuracy"], candidate, champion, promote, rolled_back)
    content = {
        **asdict(verdict),
        **measured,
        "candidate": candidate.model_dump(),
        "champion": champion and champion.model_dump(),
    }
    (out / "promotion.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return content


def judge(
    accuracy: float,
    candidate: Candidate,
    champion: Incumbent | None,
    config: PromoteConfig,
    rolled_back: str | None = None,
) -> Verdict:
    """Decide about a candidate with this test accuracy.

    ``champion`` is None if there is none yet. ``rolled_back`` says who rolled this model back as
    champion, and why, if anyone did.
    """
    reached = f"{accuracy:.2%}"
    if accuracy < config.min_accuracy:
        return Verdict("refused", f"accuracy {accuracy:.6g} is below {config.min_accuracy:g}")
    if champion is None:
        return Verdict("promoted", f"promoted: {reached}, the first champion")
    if champion.digest == candidate.digest:
        return Verdict("champion", f"is the champion already: {reached}")
    if rolled_back is not None:
        return Verdict("kept", f"champion kept: this model was rolled back, {rolled_back}")
    if champion.accuracy is None:
        return Verdict("kept", "champion kept: generated reviews say nothing about real ones")
    against = f"{reached} against {champion.accuracy:.2%}"
    # Rounded to far below one review's share, so that 0.92 - 0.91 is not more than 0.01.
    gain = round(accuracy - champion.accuracy, 12)
    if gain > config.min_gain:
        return Verdict("promoted", f"promoted: {against}")
    if gain > 0:
        return Verdict(
            "kept", f"champion kept: {against}, more than {config.min_gain:.2%} better needed"
        )
    by = f"{-100 * gain:.3g} percentage points worse" if gain < 0 else "no better"
    return Verdict("kept", f"champion kept: {against}, {by}")
