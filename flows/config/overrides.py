"""Nested settings: replace values by path, and describe what is wrong with them."""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from flows.config.yaml_text import read_yaml, yaml_fault
from sentiment.errors import ConfigError
from sentiment.settings import SECRET, Settings

S = TypeVar("S", bound=Settings)
NO_TRUTH = "a number is needed, not true or false"


def apply_all(content: dict[str, Any], overrides: Sequence[str]) -> list[str]:
    """Apply ``key.path=value`` overrides to ``content``; return the errors."""
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
        value = read_yaml(text)
    except yaml.YAMLError as error:
        why = yaml_fault(error)
        raise ConfigError(f"--set {override}: the value is not valid YAML ({why})") from None
    put(content, path.strip(), value)


def put(content: dict[str, Any], path: str, value: Any) -> None:
    """Set the value at a path, creating the sections on the way."""
    *sections, name = path.split(".")
    for section in sections:
        if not isinstance(content.get(section), dict):
            content[section] = {}
        content = content[section]
    content[name] = value


def merged(content: Any, settings: Any) -> Any:
    """Return the first nested settings, updated with the second."""
    if not (isinstance(content, Mapping) and isinstance(settings, Mapping)):
        return settings
    return {**content, **{name: merged(content.get(name), v) for name, v in settings.items()}}


def holds(settings: Mapping[str, Any], path: str) -> bool:
    """Return whether nested settings have a value at a path."""
    value: Any = settings
    for name in path.split("."):
        value = value.get(name, {}) if isinstance(value, Mapping) else {}
    return bool(value != {})


def replaced(config: S, values: Mapping[str, Any]) -> S:
    """Return settings with values replaced by path. Raises pydantic's ValidationError."""
    content = config.model_dump(mode="json", exclude_unset=True)
    for path, value in values.items():
        put(content, path, value)
    return type(config).model_validate(content)


def validated(kind: type[S], content: dict[str, Any], errors: Sequence[str], what: str) -> S:
    """Return settings. Raises one ConfigError with the given errors and all others."""
    errors = [*errors, *truth_faults(kind, content)]
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


def truth_faults(kind: type[BaseModel], content: Any, above: str = "") -> list[str]:
    """Return an error for each true or false in a number's place, where pydantic reads 1 or 0."""
    faults = []
    for name, field in kind.model_fields.items():
        value = content.get(name) if isinstance(content, Mapping) else None
        path = f"{above}{name}"
        section = settings_in(field.annotation)
        if section and get_origin(field.annotation) is dict and isinstance(value, Mapping):
            for key, inner in value.items():
                faults += truth_faults(section, inner, f"{path}.{key}.")
        elif section:
            faults += truth_faults(section, value, f"{path}.")
        elif has_truth(field.annotation, value):
            faults.append(f"{path}: {NO_TRUTH} (given: {value!r})")
    return faults


def has_truth(annotation: Any, value: Any) -> bool:
    """Return whether a value, or one in a list, is true or false although numbers are expected."""
    kinds = _kinds_in(annotation)
    given = value if isinstance(value, list | tuple) else [value]
    number = bool not in kinds and (int in kinds or float in kinds)
    return number and any(isinstance(each, bool) for each in given)


def _kinds_in(annotation: Any) -> list[Any]:
    return [annotation, *(kind for inner in get_args(annotation) for kind in _kinds_in(inner))]


def describe(entry: Any, kind: type[Settings]) -> str:
    """Return a pydantic error as a message with the key's path."""
    names = [str(part) for part in entry["loc"]]
    path = ".".join(names) or "the configuration"
    if entry["type"] == "extra_forbidden":
        hint = elsewhere(kind, names[-1]) or nearest(names[-1], fields_at(kind, names[:-1]))
        return f"{path}: unknown key{hint}"
    message = entry["msg"].removeprefix("Value error, ")
    given = entry["input"]
    hidden = isinstance(given, dict | Settings) or entry["type"] == SECRET
    shown = "" if hidden else f" (given: {given!r})"
    return f"{path}: {message}{shown}"


def fields_at(kind: type[Settings], names: Sequence[str]) -> list[str]:
    """Return the valid keys of the section at a path; empty if there is none."""
    try:
        return list(section_at(kind, names).model_fields)
    except KeyError:
        return []


def section_at(kind: type[Settings], names: Sequence[str]) -> type[Settings]:
    """Return the class of the section at a path. Raises KeyError if there is none."""
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
    """Return the class of a section; None for a plain value's annotation."""
    nested = get_origin(annotation) in (Union, UnionType, dict)
    options = get_args(annotation) if nested else [annotation]
    found = [o for o in options if isinstance(o, type) and issubclass(o, Settings)]
    return found[0] if found else None


def leaves(kind: type[Settings], above: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield the path and field of every setting; a section that may be null is one, too."""
    for name, field in kind.model_fields.items():
        section = settings_in(field.annotation)
        mapping = get_origin(field.annotation) is dict
        if section is None or mapping or field.annotation is not section:
            yield f"{above}{name}", field
        if section and not mapping:
            yield from leaves(section, f"{above}{name}.")


def elsewhere(kind: type[Settings], name: str) -> str:
    """Return a hint at the settings of this name in other sections; empty if there are none."""
    found = [path for path, _ in leaves(kind) if path.rpartition(".")[2] == name]
    return f" (did you mean {' or '.join(found)}?)" if found else ""


def nearest(name: str, names: Iterable[str]) -> str:
    """Return a hint at the most similar name; empty if there is none."""
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f" (did you mean {close[0]}?)" if close else ""
