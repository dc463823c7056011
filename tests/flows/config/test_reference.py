"""The list of settings: complete, true to the classes, and the same in the docs."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from flows.cli.main import app
from flows.config.presets import load_config, preset_names
from flows.config.reference import page, settings_of, under
from sentiment.errors import ConfigError
from sentiment.settings import flatten
from tasks.run.config import PipelineConfig

PAGE = Path(__file__).parents[3] / "docs" / "settings.md"


def shown(*arguments: str) -> list[str]:
    done = CliRunner().invoke(app, ["settings", *arguments], env={"COLUMNS": "80"})
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()


def test_the_page_in_the_docs_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), (
        "regenerate it: sentiment settings --markdown > docs/settings.md"
    )


@pytest.mark.parametrize("preset", preset_names())
def test_the_values_are_those_of_the_preset(preset: str) -> None:
    config = load_config(preset)
    listed = {each.path: yaml.safe_load(each.value) for each in settings_of(config)}
    values = flatten(config.model_dump(mode="json", exclude={"tune"}))
    assert {path: listed[path] for path in values} == values


def test_the_defaults_are_those_of_the_classes() -> None:
    values = flatten(PipelineConfig().model_dump(mode="json"))
    assert {each.path: yaml.safe_load(each.default) for each in settings_of()}.items() >= (
        values.items()
    )


def test_every_setting_says_what_it_is_for_and_what_it_takes() -> None:
    assert [s.path for s in settings_of() if not s.description or "<" in s.takes] == []
    about = {each.path: each for each in settings_of()}
    assert about["train.warmup"].takes == "number at least 0 and below 1"
    assert about["train.max_length"].takes == "whole number at least 1, or null"
    assert about["train.schedule"].takes == "constant | cosine"
    assert about["ingest.columns"].takes == "list of strings"
    assert about["ingest.labels.ignore"].takes == "list of booleans, numbers or strings"
    assert about["run.workers"].operational
    assert not about["train.epochs"].operational


def test_a_section_or_a_setting_can_be_asked_for() -> None:
    paths = [each.path for each in under(settings_of(), "vocabulary")]
    assert paths == ["vocabulary.min_count", "vocabulary.max_size"]
    (line, *_) = shown("vocabulary.min_count", "--preset", "balanced")
    assert line == "vocabulary.min_count: 5   (default 2)"


@pytest.mark.parametrize(
    ("wrong", "meant"), [("epochs", "train.epochs"), ("train.modle", "train.model")]
)
def test_a_wrong_name_is_answered_with_the_right_one(wrong: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=rf"{wrong}.*did you mean {meant}\?"):
        under(settings_of(), wrong)


def test_the_list_fits_80_columns() -> None:
    lines = shown("--preset", "balanced")
    assert max(map(len, lines)) <= 80
    assert len(lines) > 100


def test_what_a_setting_takes_is_said_in_words() -> None:
    assert not [s.path for s in settings_of() if "typing" in s.takes or "<" in s.takes]
