"""Every setting: its default, what it takes and what it is for, read from the config classes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from flows.config.overrides import elsewhere, leaves, nearest, settings_in
from sentiment.errors import ConfigError
from tasks.run.config import PipelineConfig

BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
KINDS = {
    int: "whole number",
    float: "number",
    bool: "true or false",
    str: "string",
    dict: "section",
}
PLURALS = {bool: "booleans", int: "numbers", float: "numbers", str: "strings"}
PAGE_HEAD = """\
# All settings

A preset is a YAML file of these settings, in sections. `--set train.epochs=3` replaces one.
`sentiment settings` prints them in the terminal, and with `--preset balanced` the values of that
preset. The settings of `sentiment score` are in [scoring.md](scoring.md#settings).

Changing a setting reruns the stages whose output it affects. An *operational* one affects no
output, so changing it reruns nothing.

`sentiment settings --markdown > docs/settings.md` regenerates this page.
"""


@dataclass(frozen=True)
class Setting:
    """A setting: its dotted path, its values as ``--set`` takes them, and what it is for.

    ``value`` is that of the preset asked for, else the default.
    """

    path: str
    value: str
    default: str
    takes: str
    description: str
    operational: bool


def settings_of(config: PipelineConfig | None = None) -> list[Setting]:
    """Return every setting in the order of the sections, with a preset's values if one is given."""
    return [*_settings(config or PipelineConfig(), PipelineConfig())]


def _settings(config: PipelineConfig, defaults: PipelineConfig) -> Iterator[Setting]:
    for path, field in leaves(PipelineConfig):
        default = _at(defaults, path, field)
        value = _at(config, path, field)
        extra = field.json_schema_extra
        operational = isinstance(extra, dict) and bool(extra.get("operational"))
        yield Setting(
            path,
            _written(value),
            _written(default),
            _takes(field),
            field.description or "",
            operational or path.startswith("run."),
        )


def under(settings: Sequence[Setting], key: str) -> list[Setting]:
    """Return the setting, or those of the section, at a path; raises ConfigError if none is."""
    found = [s for s in settings if s.path == key or s.path.startswith(f"{key}.")]
    if not found:
        sections = {s.path[:at] for s in settings for at, c in enumerate(s.path) if c == "."}
        paths = sorted({s.path for s in settings} | sections)
        hint = elsewhere(PipelineConfig, key) or nearest(key, paths)
        raise ConfigError(f"There is no setting or section {key!r}{hint}.")
    return found


def _at(config: Any, path: str, field: FieldInfo) -> Any:
    """Return a setting's value, or its default in a section that is off."""
    for name in path.split("."):
        if config is None:
            return field.get_default(call_default_factory=True)
        config = getattr(config, name)
    return config


def _written(value: Any) -> str:
    """Return a value as YAML in one line."""
    plain = to_jsonable_python(value, exclude_none=True)
    text = yaml.safe_dump(plain, default_flow_style=True, width=10_000, allow_unicode=True)
    return text.removesuffix("...\n").strip()


def _takes(field: FieldInfo) -> str:
    """Return in words what values a setting takes."""
    union = get_origin(field.annotation) in (Union, UnionType)
    options = get_args(field.annotation) if union else (field.annotation,)
    kinds = [kind for kind in options if kind is not type(None)]
    bounds = [
        f"{words} {bound:,}"
        for limit in field.metadata
        for name, words in BOUNDS.items()
        if (bound := getattr(limit, name, None)) is not None
    ]
    takes = " ".join([" or ".join(map(_kind, kinds)), " and ".join(bounds)]).strip()
    return takes + ", or null" * (type(None) in get_args(field.annotation))


def _kind(kind: Any) -> str:
    origin = get_origin(kind)
    if origin is Literal:
        return " | ".join(map(str, get_args(kind)))
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(map(_kind, get_args(kind))))
    if settings_in(kind):
        return "section"
    if origin is Annotated:
        return _kind(get_args(kind)[0])
    if origin in (tuple, list):
        return f"list of {_plural(get_args(kind)[0])}"
    return KINDS.get(kind, KINDS.get(origin, str(kind)))


def _plural(kind: Any) -> str:
    """Return in words what the items of a list may be."""
    *others, last = dict.fromkeys(PLURALS[each] for each in get_args(kind) or (kind,))
    return " or ".join(filter(None, [", ".join(others), last]))


def page() -> str:
    """Return docs/settings.md."""
    parts, section = [PAGE_HEAD], ""
    for setting in settings_of():
        name = setting.path.partition(".")[0]
        if name != section:
            section = name
            parts.append(f"\n## {name}\n\n| setting | default | takes | |\n|---|---|---|---|\n")
        description = setting.description + " *Operational.*" * setting.operational
        cells = f"`{setting.path}`", f"`{setting.default}`", setting.takes, description
        parts.append(f"| {' | '.join(map(_cell, cells))} |\n")
    return "".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def lines(settings: Sequence[Setting], width: int) -> Iterator[tuple[str, list[str]]]:
    """Yield each setting for a terminal: its path, and the lines that follow the path."""
    below = "    "
    for setting in settings:
        changed = f"   (default {setting.default})" * (setting.value != setting.default)
        value = wrap(f"{setting.path}: {setting.value}{changed}", width, subsequent_indent=below)
        about = f"{setting.description} Takes: {setting.takes}."
        text = wrap(about, width, initial_indent=below, subsequent_indent=below)
        yield setting.path, [value[0].removeprefix(setting.path), *value[1:], *text]
