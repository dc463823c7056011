"""The base of every stage's configuration: frozen, strict, and aware of what shapes the output."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

SECRET = "secret"  # type of a validator's error about a value that must not be shown


class Settings(BaseModel):
    """Frozen settings that refuse unknown keys and wrong types."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def shaping(self) -> dict[str, Any]:
        """Return, as JSON values, the settings that shape a stage's output.

        Those made with :func:`operational` are left out, so changing them reruns nothing.
        """
        shaped: dict[str, Any] = {}
        dumped = self.model_dump(mode="json")
        for name, field in type(self).model_fields.items():
            extra = field.json_schema_extra
            if isinstance(extra, dict) and extra.get("operational"):
                continue
            value = getattr(self, name)
            shaped[name] = value.shaping() if isinstance(value, Settings) else dumped[name]
        return shaped


def operational(default: Any, *, description: str, **limits: Any) -> Any:
    """A field that changes how a stage works, never what it writes (see ``Settings.shaping``)."""
    return Field(
        default, description=description, json_schema_extra={"operational": True}, **limits
    )
