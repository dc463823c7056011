"""The generated reviews as a piece of cached work."""

from pathlib import Path
from typing import Any

from pydantic import Field

from sentiment.progress import Progress, silent
from sentiment.settings import Settings


class SampleConfig(Settings):
    """How many reviews are generated."""

    train: int = Field(12_000, ge=2, description="Lines of the training file.")
    test: int = Field(3_000, ge=4, description="Lines of the test file, half of it validation.")
    seed: int = Field(1, ge=0, description="Another seed gives other reviews.")


def write_sample_reviews(
    *, sample: SampleConfig, out: Path, progress: Progress = silent
) -> dict[str, Any]:
    """Write ``train.ft.txt.bz2`` and ``test.ft.txt.bz2`` into ``out``."""
    from sentiment.data.generate import write_sample

    total = sample.train + sample.test
    write_sample(
        out,
        train=sample.train,
        test=sample.test,
        seed=sample.seed,
        progress=lambda done: progress(done, total),
    )
    return {"rows": total}
