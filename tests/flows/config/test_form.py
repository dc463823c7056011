"""The form has the configuration's descriptions and limits, and every setting is optional."""

from functools import reduce
from typing import Any

import cloudpickle
import pytest
from prefect import Flow
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import ValidationError, validate
from pydantic import BaseModel

import flows.pipeline
import flows.tune
from flows.config.form import PipelineForm
from flows.config.presets import load_config, preset_names
from flows.steps import STAGE_NAMES
from tasks.run.config import PipelineConfig

FLOWS: list[Flow[..., Any]] = [getattr(flows.pipeline, n) for n in ("pipeline", *STAGE_NAMES)]


def leaves(model: type[BaseModel], path: str = "") -> dict[str, dict[str, Any]]:
    """Return the JSON schema of every single setting, by its path."""
    schema = model.model_json_schema()

    def resolved(part: dict[str, Any]) -> dict[str, Any]:
        inner = [resolved(p) for p in part.get("anyOf", []) if p.get("type") != "null"]
        inner += [resolved(schema["$defs"][part["$ref"].split("/")[-1]])] if "$ref" in part else []
        for each in inner:
            part = {**each, **{k: v for k, v in part.items() if k not in ("anyOf", "$ref")}}
        return part

    def descend(part: dict[str, Any], path: str) -> dict[str, dict[str, Any]]:
        part = resolved(part)
        if "properties" not in part:
            kept = {k: v for k, v in part.items() if k not in ("default", "title", "operational")}
            return {path: kept}
        found = {}
        for name, inner in part["properties"].items():
            found |= descend(inner, f"{path}.{name}".removeprefix("."))
        return found

    return descend(schema, path)


def test_the_form_has_every_setting_with_its_description_and_limits() -> None:
    expected = leaves(PipelineConfig)
    del expected["tune"]  # what a search may change concerns no run
    assert expected["train.epochs"]["minimum"] == 1
    found = leaves(PipelineForm)
    for setting in found.values():
        setting["description"], _, default = setting["description"].partition(" Default ")
        assert default
    assert found == expected


@pytest.mark.parametrize("path", ["train.epochs", "train.model.lstm", "run.runner"])
def test_the_form_tells_the_default_and_the_values_of_the_presets(path: str) -> None:
    def value(config: Any) -> str:
        given = reduce(getattr, path.split("."), config)
        return str(given).lower() if isinstance(given, bool) else str(given)

    described, found = leaves(PipelineForm)[path]["description"].split(" Default ")
    assert described == leaves(PipelineConfig)[path]["description"]
    default, *others = found.removesuffix(".").split("; ")
    assert default == value(PipelineConfig())
    values = {name: value(load_config(name)) for name in preset_names()}
    assert others == [f"{name} {v}" for name, v in values.items() if v != default] != []


@pytest.mark.parametrize("flow", [*FLOWS, flows.tune.tune], ids=lambda flow: flow.name)
def test_a_form_lists_the_presets_and_begins_with_the_default(flow: Flow[..., Any]) -> None:
    preset = parameter_schema(flow).model_dump()["properties"]["preset"]
    names, _ = preset["anyOf"]
    assert names["enum"] == preset_names()
    assert preset["default"] == "sample" and "type" not in preset


def test_nothing_is_required_and_only_what_was_filled_in_is_kept() -> None:
    assert PipelineForm().model_dump(mode="json") == {}
    filled = {"train": {"epochs": 3, "model": {"layers": 2}}, "ingest": {"labels": {"ignore": [3]}}}
    assert PipelineForm.model_validate(filled).model_dump(mode="json") == filled


def test_the_form_replaces_the_presets_values_and_overrides_win() -> None:
    settings = {"train": {"epochs": 7, "seed": 5}}
    config = load_config("sample", ["train.seed=6"], settings)
    preset = load_config("sample")
    assert (config.train.epochs, config.train.seed) == (7, 6)
    assert config.train.model == preset.train.model
    assert config.ingest == preset.ingest


def test_a_forms_values_pass_through_a_pickle() -> None:
    form = PipelineForm.model_validate({"train": {"model": {"layers": 2}}})
    assert cloudpickle.loads(cloudpickle.dumps(form)) == form


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_every_parameter_is_described(flow: Flow[..., Any]) -> None:
    parameters = parameter_schema(flow).model_dump()["properties"]
    assert [n for n, schema in parameters.items() if not schema.get("description")] == []


GOOD: list[dict[str, Any]] = [
    {},
    {"settings": {}},
    {"settings": {"train": {"epochs": 2}}},
    {"start": None, "until": "train"},
]
BAD: list[dict[str, Any]] = [
    {"settings": {"train": {"epochs": 0}}},
    {"settings": {"train": {"epoch": 1}}},
    {"settings": {"train": {"device": "abacus"}}},
    {"settings": {"evaluate": {"threshold": 1}}},
    {"start": "trian"},
    {"force": ["everything"]},
]


@pytest.mark.parametrize("given", GOOD, ids=str)
def test_a_good_form_makes_a_run(given: dict[str, Any]) -> None:
    validate(given, parameter_schema(flows.pipeline.pipeline).model_dump(), raise_on_error=True)
    parameters = flows.pipeline.pipeline.validate_parameters({"preset": "sample", **given})
    assert parameters["preset"] == given.get("preset", "sample")
    assert set(given) <= set(parameters)


@pytest.mark.parametrize("given", BAD, ids=str)
def test_a_bad_form_is_refused_when_the_run_is_created(given: dict[str, Any]) -> None:
    schema = parameter_schema(flows.pipeline.pipeline).model_dump()
    with pytest.raises(ValidationError):
        validate(given, schema, raise_on_error=True)


@pytest.mark.parametrize("flow", [*FLOWS, flows.tune.tune], ids=lambda flow: flow.name)
def test_a_misspelt_preset_is_refused_before_a_run(flow: Flow[..., Any]) -> None:
    schema = parameter_schema(flow).model_dump()
    for preset in (*preset_names(), "/presets/mine.yaml"):
        validate({"preset": preset}, schema, raise_on_error=True)
    for wrong in ("smaple", "sample2", ""):
        with pytest.raises(ValidationError, match="not valid under any"):
            validate({"preset": wrong}, schema, raise_on_error=True)
