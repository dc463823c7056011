"""The configuration as a form: every setting with its description and limits, all optional."""

from functools import cache, partial, reduce
from operator import or_
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    create_model,
    field_validator,
    model_serializer,
)
from pydantic.json_schema import SkipJsonSchema

from flows.config.overrides import NO_TRUTH, has_truth, settings_in
from flows.config.presets import load_config, preset_names
from flows.config.reference import settings_of
from sentiment.settings import Settings
from tasks.run.config import PipelineConfig


@cache
def _values() -> dict[str, str]:
    """Return the default of each setting in words, by path, with the presets that have another."""
    presets = {name: settings_of(load_config(name)) for name in preset_names()}
    found = {}
    for at, setting in enumerate(settings_of()):
        others = {name: settings[at].value for name, settings in presets.items()}
        told = [f"{n} {v}" for n, v in others.items() if v != setting.default]
        found[setting.path] = f"Default {'; '.join([setting.default, *told])}."
    return found


def _left_empty(above: str, schema: dict[str, Any]) -> None:
    """Tell the defaults in words only: a field left empty keeps the preset's value."""
    for name, field in schema.get("properties", {}).items():
        field.pop("default", None)
        if "$ref" not in field:  # a section has none of its own
            field["description"] += f" {_values()[f'{above}{name}']}"


class Form(BaseModel):
    """A form that keeps only what was filled in."""

    model_config = ConfigDict(extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def numbers(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse true and false for a number."""
        if has_truth(cls.model_fields[info.field_name or ""].annotation, value):
            raise ValueError(NO_TRUTH)
        return value

    @model_serializer(mode="wrap")
    def filled(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Return what was filled in, as in a preset file."""
        return {name: value for name, value in handler(self).items() if value is not None}


def form_of(settings: type[Settings], above: str = "") -> type[Form]:
    """Return a model with all fields of a configuration and its sections, each optional.

    ``above`` is the path of the configuration's own section, with a dot at its end.
    """
    fields: dict[str, Any] = {}
    for name, field in settings.model_fields.items():
        if get_origin(field.annotation) is dict:
            continue  # the section tune, which concerns no run
        section = settings_in(field.annotation)
        kinds = (
            [form_of(section, f"{above}{name}.")] if section else _without_none(field.annotation)
        )
        value: Any = Annotated[(reduce(or_, kinds), *field.metadata, Field(title=name))]
        optional = value | SkipJsonSchema[None]  # type: ignore[misc]
        fields[name] = (optional, Field(None, description=field.description))
    form = create_model(
        settings.__name__.replace("Config", "Form"),
        __base__=Form,
        __doc__=settings.__doc__,
        __module__=__name__,
        **fields,
    )
    form.model_config["json_schema_extra"] = partial(_left_empty, above)
    # Worker processes receive the form with the flow's parameters and look it up by name.
    globals()[form.__name__] = form
    return form


def _without_none(annotation: Any) -> list[Any]:
    kinds = [kind for kind in get_args(annotation) if kind is not NoneType]
    return kinds if NoneType in get_args(annotation) else [annotation]


if TYPE_CHECKING:
    PipelineForm: TypeAlias = Form
else:
    PipelineForm = form_of(PipelineConfig)
