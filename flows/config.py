"""The whole configuration: every stage's settings side by side, presets, and overrides."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import Field, ValidationError, field_validator

from flows.space import Dimension
from sentiment.cleaning import TokenizeConfig
from sentiment.errors import ConfigError
from sentiment.ingest import IngestConfig
from sentiment.promotion import PromoteConfig
from sentiment.recipe import EvaluateConfig, TrainConfig
from sentiment.sample import SampleConfig
from sentiment.settings import Settings
from sentiment.tensors import TensorsConfig
from sentiment.vocabulary import VocabularyConfig

TUNABLE = ("tokenize", "vocabulary", "tensors", "train")  # what leaves the reviews as they are
PRESETS = Path(__file__).parent.parent / "presets"


class RunConfig(Settings):
    """How the work is spread; it never shapes a result."""

    runner: Literal["threads", "processes", "dask"] = Field(
        "processes", description="What the shards of tokenize are spread over."
    )
    workers: int | None = Field(None, ge=1, description="Workers at once; one per core if null.")

    @field_validator("runner")
    @classmethod
    def _dask_is_installed(cls, runner: str) -> str:
        if runner == "dask" and find_spec("prefect_dask") is None:
            raise ValueError(
                "Dask is not installed: pip install -c constraints.txt -e '.[dask]', or choose "
                "processes"
            )
        return runner


class PipelineConfig(Settings):
    """The settings of every stage, as in a preset file."""

    sample: SampleConfig | None = Field(
        None, description="Reviews to generate when no data folder is given."
    )
    ingest: IngestConfig = IngestConfig()
    tokenize: TokenizeConfig = TokenizeConfig()
    vocabulary: VocabularyConfig = VocabularyConfig()
    tensors: TensorsConfig = TensorsConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    promote: PromoteConfig = PromoteConfig()
    run: RunConfig = RunConfig()
    tune: dict[str, Dimension] = Field(
        default_factory=dict, description="What `sentiment tune` may change: see docs/tune.md."
    )


def preset_names() -> list[str]:
    """Return the presets that come with the project."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def load_config(preset: str, overrides: Sequence[str] = ()) -> PipelineConfig:
    """Read a preset (a name, or the path of a YAML file) and apply ``key.path=value`` overrides.

    Raises one ConfigError that lists everything that is wrong.
    """
    content = _read_preset(preset)
    errors = []
    for override in overrides:
        try:
            _apply(content, override)
        except ConfigError as error:
            errors.append(str(error))
    space = content.get("tune")
    errors += [fault for path in space or () if (fault := _path_fault(str(path)))]
    try:
        config = PipelineConfig.model_validate(content)
    except ValidationError as error:
        errors += [_describe(entry) for entry in error.errors()]
    else:
        errors += [] if errors else _value_faults(config)
    if errors:
        raise ConfigError(
            f"The configuration (preset {preset}) has {len(errors)} "
            f"{'error' if len(errors) == 1 else 'errors'}:\n" + "\n".join(f"  {e}" for e in errors)
        )
    return config


def set_where(preset: str, overrides: Sequence[str], key: str) -> str:
    """Say where a setting's value comes from, for a valid configuration."""
    if any(override.partition("=")[0].strip() == key for override in overrides):
        return "set by an override"
    value: Any = _read_preset(preset)
    for name in key.split("."):
        value = value.get(name, {}) if isinstance(value, dict) else {}
    return f"set in the preset {preset}" if value != {} else "the default"


def _read_preset(preset: str) -> dict[str, Any]:
    if preset.endswith((".yaml", ".yml")):
        try:
            text = Path(preset).read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{preset}: cannot be read ({error.strerror or error}).") from error
    elif preset in preset_names():
        text = (PRESETS / f"{preset}.yaml").read_text(encoding="utf-8")
    else:
        raise ConfigError(
            f"There is no preset {preset!r}{_nearest(preset, preset_names())}. Presets: "
            f"{', '.join(preset_names())}, or the path of a .yaml file."
        )
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{preset}: not valid YAML ({error}).") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{preset}: expected sections such as 'train:' at the top level.")
    return content


def _apply(content: dict[str, Any], override: str) -> None:
    path, separator, text = override.partition("=")
    names = path.strip().split(".")
    if not separator or not all(names):
        raise ConfigError(f"--set {override}: expected key.path=value, as in train.epochs=3")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"--set {override}: the value is not valid YAML") from None
    _put(content, names, value)


def _put(content: dict[str, Any], names: Sequence[str], value: Any) -> None:
    section = content
    for name in names[:-1]:
        if not isinstance(section.get(name), dict):
            section[name] = {}
        section = section[name]
    section[names[-1]] = value


def with_values(config: PipelineConfig, values: Mapping[str, Any]) -> PipelineConfig:
    """Return a configuration with some settings, by their paths, replaced.

    Raises ConfigError where they do not go together.
    """
    try:
        return _replaced(config, values)
    except ValidationError as error:
        faults = "; ".join(_describe(entry) for entry in error.errors())
        raise ConfigError(f"These settings do not go together: {faults}") from error


def _replaced(config: PipelineConfig, values: Mapping[str, Any]) -> PipelineConfig:
    content = config.model_dump(mode="json", exclude_unset=True)
    for path, value in values.items():
        _put(content, path.split("."), value)
    return PipelineConfig.model_validate(content)


def takes_whole_numbers(path: str) -> bool:
    """Say whether the setting that a path leads to is a whole number."""
    *sections, name = path.split(".")
    annotation = _section_at(sections).model_fields[name].annotation
    return int in {annotation, *get_args(annotation)}


def _path_fault(path: str) -> str | None:
    """Say what is wrong with the path of a setting to tune, None if nothing is."""
    *sections, name = names = path.split(".")
    if names[0] not in TUNABLE:
        return (
            f"tune.{path}: only settings of {', '.join(TUNABLE)} can be tuned"
            f"{_nearest(names[0], TUNABLE)}"
        )
    for depth, each in enumerate(names):
        fields = _fields_at(names[:depth])
        if each not in fields:
            return f"tune.{path}: unknown setting{_nearest(each, fields)}"
    field = _section_at(sections).model_fields[name]
    if _settings_in(field.annotation):
        return f"tune.{path}: is a section; name one of its settings"
    extra = field.json_schema_extra
    if isinstance(extra, dict) and extra.get("operational"):
        return f"tune.{path}: shapes no result, so there is nothing to tune"
    return None


def _value_faults(config: PipelineConfig) -> list[str]:
    """Say which values of the search space their settings refuse, whatever the others are."""
    faults = []
    for path, dimension in config.tune.items():
        for value in dimension.ends():
            try:
                _replaced(config, {path: value})
            except ValidationError as error:
                for entry in error.errors():
                    if ".".join(map(str, entry["loc"])).startswith(path):
                        faults.append(f"tune.{_describe(entry)}")
    return faults


def _describe(entry: Any) -> str:
    """Put one of pydantic's errors into words, with the key's path."""
    names = [str(part) for part in entry["loc"]]
    path = ".".join(names) or "the whole"
    if entry["type"] == "extra_forbidden":
        return f"{path}: unknown key{_nearest(names[-1], _fields_at(names[:-1]))}"
    message = entry["msg"].removeprefix("Value error, ")
    given = entry["input"]
    shown = "" if isinstance(given, dict | Settings) else f" (given: {given!r})"
    return f"{path}: {message}{shown}"


def _fields_at(names: Sequence[str]) -> list[str]:
    """Return the valid keys of the section that a path leads to."""
    try:
        return list(_section_at(names).model_fields)
    except KeyError:
        return []


def _section_at(names: Sequence[str]) -> type[Settings]:
    """Return the class of the section that a path leads to; raises KeyError without one."""
    section: type[Settings] = PipelineConfig
    rest = iter(names)
    for name in rest:
        annotation = section.model_fields[name].annotation
        inner = _settings_in(annotation)
        if inner is None:
            raise KeyError(name)
        if get_origin(annotation) is dict:
            next(rest, None)  # a key of the mapping
        section = inner
    return section


def _settings_in(annotation: Any) -> type[Settings] | None:
    nested = get_origin(annotation) in (Union, UnionType, dict)
    options = get_args(annotation) if nested else [annotation]
    found = [o for o in options if isinstance(o, type) and issubclass(o, Settings)]
    return found[0] if found else None


def _nearest(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f" (did you mean {close[0]}?)" if close else ""
