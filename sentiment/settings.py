"""The base class of every stage's settings, which knows the settings that shape the output."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

SECRET = "secret"  # type of a validator's error about a value that must not be shown


class Settings(BaseModel):
    """Frozen settings that refuse unknown keys and wrong types."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def output_settings(self) -> dict[str, Any]:
        """Return the settings that shape a stage's output, as JSON values.

        Those made with :func:`operational` are left out: changing one reruns nothing.
        """
        found: dict[str, Any] = {}
        dumped = self.model_dump(mode="json")
        for name, field in type(self).model_fields.items():
            extra = field.json_schema_extra
            if isinstance(extra, dict) and extra.get("operational"):
                continue
            value = getattr(self, name)
            found[name] = value.output_settings() if isinstance(value, Settings) else dumped[name]
        return found


def operational(default: Any, *, description: str, **limits: Any) -> Any:
    """Return a field that changes how a stage works, never what it writes."""
    return Field(
        default, description=description, json_schema_extra={"operational": True}, **limits
    )


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings under dotted names, as ``--set`` takes them."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
