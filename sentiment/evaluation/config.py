"""Settings of the evaluation, in a separate module so that a plan need not load PyTorch."""

from pydantic import Field

from sentiment.settings import Settings


class EvaluateConfig(Settings):
    """How a model is evaluated."""

    threshold: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="A review with at least this probability is positive; the model's own "
        "threshold if null.",
    )
    mistakes: int = Field(
        20, ge=0, description="Number of most confident mistakes in the report, of both kinds."
    )
