"""How a model is evaluated; apart from the evaluation, so that a plan need not load PyTorch."""

from pydantic import Field

from sentiment.settings import Settings


class EvaluateConfig(Settings):
    """How a model is judged."""

    threshold: float = Field(
        0.5, gt=0, lt=1, description="Probability from which a review counts as positive."
    )
    mistakes: int = Field(20, ge=0, description="Most confident mistakes shown in the report.")
