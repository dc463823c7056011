"""What a search may try: the entries of a preset's section ``tune``."""

from collections.abc import Mapping
from typing import Any, TypeVar, get_args

from pydantic import Field, ValidationError, model_validator

from flows.config.overrides import describe, fields_at, nearest, replaced, section_at, settings_in
from sentiment.errors import ConfigError
from sentiment.settings import Settings

S = TypeVar("S", bound=Settings)
Scalar = bool | int | float | str | None
TUNABLE = ("tokenize", "vocabulary", "tensors", "train")  # what leaves the reviews as they are


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


def with_values(config: S, values: Mapping[str, Any]) -> S:
    """Return a configuration with some settings, by their paths, replaced.

    Raises ConfigError where they do not go together.
    """
    try:
        return replaced(config, values)
    except ValidationError as error:
        faults = "; ".join(describe(entry, type(config)) for entry in error.errors())
        raise ConfigError(f"These settings do not go together: {faults}") from error


def takes_whole_numbers(kind: type[Settings], path: str) -> bool:
    """Say whether the setting that a path leads to is a whole number."""
    *sections, name = path.split(".")
    annotation = section_at(kind, sections).model_fields[name].annotation
    return int in {annotation, *get_args(annotation)}


def path_fault(kind: type[Settings], path: str) -> str | None:
    """Say what is wrong with the path of a setting to tune, None if nothing is."""
    *sections, name = names = path.split(".")
    if names[0] not in TUNABLE:
        return (
            f"tune.{path}: only settings of {', '.join(TUNABLE)} can be tuned"
            f"{nearest(names[0], TUNABLE)}"
        )
    for depth, each in enumerate(names):
        fields = fields_at(kind, names[:depth])
        if each not in fields:
            return f"tune.{path}: unknown setting{nearest(each, fields)}"
    field = section_at(kind, sections).model_fields[name]
    if settings_in(field.annotation):
        return f"tune.{path}: is a section; name one of its settings"
    extra = field.json_schema_extra
    if isinstance(extra, dict) and extra.get("operational"):
        return f"tune.{path}: shapes no result, so there is nothing to tune"
    return None


def value_faults(config: Settings, space: Mapping[str, Dimension]) -> list[str]:
    """Say which values of a search space their settings refuse, whatever the others are."""
    faults = []
    for path, dimension in space.items():
        for value in dimension.ends():
            try:
                replaced(config, {path: value})
            except ValidationError as error:
                for entry in error.errors():
                    if ".".join(map(str, entry["loc"])).startswith(path):
                        faults.append(f"tune.{describe(entry, type(config))}")
    return faults
