"""What a search may try for one setting: the entries of a preset's section ``tune``."""

from pydantic import Field, model_validator

from sentiment.settings import Settings

Scalar = bool | int | float | str | None


class Dimension(Settings):
    """The values that a setting may take: numbers from low to high, or one of some choices."""

    low: int | float | None = Field(None, description="The lowest number tried.")
    high: int | float | None = Field(None, description="The highest number tried.")
    log: bool = Field(False, description="Spread the numbers by their logarithms.")
    step: int | float | None = Field(None, gt=0, description="Distance between the numbers.")
    choices: tuple[Scalar, ...] | None = Field(None, description="The values tried.")

    @model_validator(mode="after")
    def _one_kind(self) -> "Dimension":
        if self.choices is not None:
            if self.model_fields_set != {"choices"}:
                raise ValueError("give either choices, or low and high")
            if len(set(self.choices)) < max(1, len(self.choices)):
                raise ValueError("choices: give at least one value, and each only once")
        elif self.low is None or self.high is None:
            raise ValueError("give either choices, or low and high")
        elif self.low >= self.high:
            raise ValueError(f"low ({self.low}) must be below high ({self.high})")
        elif self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("log: needs a low above 0, and no step")
        return self

    def ends(self) -> tuple[Scalar, ...]:
        """Return the choices, or the lowest and the highest number."""
        return (self.low, self.high) if self.choices is None else self.choices
