"""Settings of the evaluation, in a separate module so that a plan need not load PyTorch."""

from pydantic import Field

from sentiment.settings import Settings


class EvaluateConfig(Settings):
    """How a model is evaluated."""

    threshold: float = Field(
        0.5, gt=0, lt=1, description="A review with at least this probability is positive."
    )
    mistakes: int = Field(20, ge=0, description="Number of most confident mistakes in the report.")
