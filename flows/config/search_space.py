"""The search space: the entries of a preset's section ``tune``."""

from collections.abc import Mapping
from typing import Any, TypeVar, get_args

from pydantic import ValidationError

from flows.config.overrides import (
    describe,
    fields_at,
    nearest,
    put,
    replaced,
    section_at,
    settings_in,
    truth_faults,
)
from sentiment.errors import ConfigError
from sentiment.settings import Settings
from tasks.run.config import Dimension

S = TypeVar("S", bound=Settings)
# The sections that leave the reviews as they are.
TUNABLE = ("tokenize", "vocabulary", "tensors", "train")


def with_values(config: S, values: Mapping[str, Any]) -> S:
    """Return a configuration with some settings replaced by path.

    Raises ConfigError if they do not go together.
    """
    try:
        return replaced(config, values)
    except ValidationError as error:
        faults = "; ".join(describe(entry, type(config)) for entry in error.errors())
        raise ConfigError(f"These settings do not go together: {faults}") from error


def takes_whole_numbers(kind: type[Settings], path: str) -> bool:
    """Return whether the setting at a path is a whole number."""
    *sections, name = path.split(".")
    annotation = section_at(kind, sections).model_fields[name].annotation
    return int in {annotation, *get_args(annotation)}


def path_fault(kind: type[Settings], path: str) -> str | None:
    """Return what is wrong with the path of a setting to tune; None if nothing."""
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
        return f"tune.{path}: does not affect the result, so there is nothing to tune"
    return None


def value_faults(config: Settings, space: Mapping[str, Dimension]) -> list[str]:
    """Return the errors of values that their settings never accept, whatever the others are."""
    faults = []
    for path, dimension in space.items():
        for value in dimension.ends():
            wanted: dict[str, Any] = {}
            put(wanted, path, value)
            faults += [f"tune.{fault}" for fault in truth_faults(type(config), wanted)]
            try:
                replaced(config, {path: value})
            except ValidationError as error:
                for entry in error.errors():
                    if ".".join(map(str, entry["loc"])).startswith(path):
                        faults.append(f"tune.{describe(entry, type(config))}")
    return faults
