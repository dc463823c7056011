"""Presets: files of settings, in which a run replaces some."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from flows.config.overrides import apply_all, holds, merged, nearest, validated
from flows.config.search_space import path_fault, value_faults
from flows.config.yaml_text import read_yaml, yaml_fault
from sentiment.errors import ConfigError
from sentiment.scoring.inputs import ScoreConfig
from sentiment.settings import flatten
from tasks.run.config import PipelineConfig

PRESETS = Path(__file__).parents[2] / "presets"


def storage_place(given: str | None) -> str:
    """Return the storage's folder or URL: the one given, else SENTIMENT_STORAGE, else ./storage."""
    return given or os.environ.get("SENTIMENT_STORAGE") or "storage"


def preset_names() -> list[str]:
    """Return the names of the project's presets."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def preset_schema() -> dict[str, Any]:
    """Return the JSON schema of what can be given as a preset: a form shows the names as a list."""
    return {
        "anyOf": [
            {"type": "string", "enum": preset_names(), "title": "preset"},
            {"type": "string", "pattern": r".+\.ya?ml$", "title": "file"},
        ]
    }


def load_config(
    preset: str, overrides: Sequence[str] = (), settings: Mapping[str, Any] | None = None
) -> PipelineConfig:
    """Read a preset (a name, or the path of a YAML file) and replace some of its values.

    ``settings`` are nested as in a preset; ``key.path=value`` overrides win over them.
    Raises one ConfigError that lists all errors.
    """
    content = merged(_read_preset(preset), settings or {})
    errors = apply_all(content, overrides)
    what = f"The configuration (preset {preset})"
    space = content.get("tune")
    paths = space if isinstance(space, Mapping) else ()
    errors += [fault for path in paths if (fault := path_fault(PipelineConfig, str(path)))]
    config = validated(PipelineConfig, content, errors, what)
    return validated(PipelineConfig, content, value_faults(config, config.tune), what)


def score_config(overrides: Sequence[str]) -> ScoreConfig:
    """Return the settings of scoring. Raises one ConfigError that lists all errors."""
    content: dict[str, Any] = {}
    errors = apply_all(content, overrides)
    return validated(ScoreConfig, content, errors, "The configuration")


def as_overrides(settings: Mapping[str, Any]) -> list[str]:
    """Return nested settings, as ``load_config`` takes them, as overrides that set the same."""
    given = flatten(settings).items()
    return [
        f"{key}={json.dumps(value, ensure_ascii=False)}"
        for key, value in given
        if value not in (None, {})
    ]


def set_where(preset: str, overrides: Sequence[str], settings: Mapping[str, Any], key: str) -> str:
    """Return where a setting's value comes from, for a valid configuration."""
    overridden: dict[str, Any] = {}
    apply_all(overridden, overrides)
    if holds(overridden, key):
        return "set by an override"
    if holds(settings, key):
        return "set in the run's settings"
    return f"set in the preset {preset}" if holds(_read_preset(preset), key) else "the default"


def _read_preset(preset: str) -> dict[str, Any]:
    if preset.endswith((".yaml", ".yml")):
        try:
            text = Path(preset).read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{preset}: cannot be read ({error.strerror or error}).") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{preset}: not UTF-8 from byte {error.start} on.") from error
    elif preset in preset_names():
        text = (PRESETS / f"{preset}.yaml").read_text(encoding="utf-8")
    else:
        raise ConfigError(
            f"There is no preset {preset!r}{nearest(preset, preset_names())}. Presets: "
            f"{', '.join(preset_names())}, or the path of a .yaml file."
        )
    try:
        content = read_yaml(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{preset}: not valid YAML ({yaml_fault(error)}).") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{preset}: expected sections such as 'train:' at the top level.")
    return content
