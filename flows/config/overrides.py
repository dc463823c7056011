"""Nested settings: values replaced by their paths, and what is wrong with them in words."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import ValidationError

from sentiment.errors import ConfigError
from sentiment.settings import SECRET, Settings

S = TypeVar("S", bound=Settings)


def apply_all(content: dict[str, Any], overrides: Sequence[str]) -> list[str]:
    """Apply ``key.path=value`` overrides to ``content``; return what is wrong with any."""
    errors = []
    for override in overrides:
        try:
            _apply(content, override)
        except ConfigError as error:
            errors.append(str(error))
    return errors


def _apply(content: dict[str, Any], override: str) -> None:
    path, separator, text = override.partition("=")
    names = path.strip().split(".")
    if not separator or not all(names):
        raise ConfigError(f"--set {override}: expected key.path=value, as in train.epochs=3")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"--set {override}: the value is not valid YAML") from None
    put(content, path.strip(), value)


def put(content: dict[str, Any], path: str, value: Any) -> None:
    """Set the value that a path leads to, with the sections on the way."""
    *sections, name = path.split(".")
    for section in sections:
        if not isinstance(content.get(section), dict):
            content[section] = {}
        content = content[section]
    content[name] = value


def merged(content: Any, settings: Any) -> Any:
    """Return nested settings with those of the second argument in place of the first's."""
    if not (isinstance(content, Mapping) and isinstance(settings, Mapping)):
        return settings
    return {**content, **{name: merged(content.get(name), v) for name, v in settings.items()}}


def holds(settings: Mapping[str, Any], path: str) -> bool:
    """Say whether nested settings have a value at a path."""
    value: Any = settings
    for name in path.split("."):
        value = value.get(name, {}) if isinstance(value, Mapping) else {}
    return bool(value != {})


def replaced(config: S, values: Mapping[str, Any]) -> S:
    """Return settings with values, by their paths, replaced; raises pydantic's ValidationError."""
    content = config.model_dump(mode="json", exclude_unset=True)
    for path, value in values.items():
        put(content, path, value)
    return type(config).model_validate(content)


def validated(kind: type[S], content: dict[str, Any], errors: Sequence[str], what: str) -> S:
    """Return settings; raises one ConfigError with the errors given and all that is wrong."""
    errors = list(errors)
    try:
        config = kind.model_validate(content)
    except ValidationError as error:
        errors += [describe(entry, kind) for entry in error.errors()]
    if errors:
        raise ConfigError(
            f"{what} has {len(errors)} {'error' if len(errors) == 1 else 'errors'}:\n"
            + "\n".join(f"  {e}" for e in errors)
        )
    return config


def describe(entry: Any, kind: type[Settings]) -> str:
    """Put one of pydantic's errors into words, with the key's path."""
    names = [str(part) for part in entry["loc"]]
    path = ".".join(names) or "the whole"
    if entry["type"] == "extra_forbidden":
        return f"{path}: unknown key{nearest(names[-1], fields_at(kind, names[:-1]))}"
    message = entry["msg"].removeprefix("Value error, ")
    given = entry["input"]
    hidden = isinstance(given, dict | Settings) or entry["type"] == SECRET
    shown = "" if hidden else f" (given: {given!r})"
    return f"{path}: {message}{shown}"


def fields_at(kind: type[Settings], names: Sequence[str]) -> list[str]:
    """Return the valid keys of the section that a path leads to."""
    try:
        return list(section_at(kind, names).model_fields)
    except KeyError:
        return []


def section_at(kind: type[Settings], names: Sequence[str]) -> type[Settings]:
    """Return the class of the section that a path leads to; raises KeyError without one."""
    rest = iter(names)
    for name in rest:
        annotation = kind.model_fields[name].annotation
        inner = settings_in(annotation)
        if inner is None:
            raise KeyError(name)
        if get_origin(annotation) is dict:
            next(rest, None)  # a key of the mapping
        kind = inner
    return kind


def settings_in(annotation: Any) -> type[Settings] | None:
    """Return the class of a section, None for the annotation of a plain value."""
    nested = get_origin(annotation) in (Union, UnionType, dict)
    options = get_args(annotation) if nested else [annotation]
    found = [o for o in options if isinstance(o, type) and issubclass(o, Settings)]
    return found[0] if found else None


def nearest(name: str, names: Iterable[str]) -> str:
    """Return a hint at the valid name that was perhaps meant."""
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f" (did you mean {close[0]}?)" if close else ""
