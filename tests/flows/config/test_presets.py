"""Presets, overrides, and the messages about wrong ones."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from flows.config.form import PipelineForm
from flows.config.overrides import put
from flows.config.presets import PRESETS, load_config, preset_names
from sentiment.errors import ConfigError
from sentiment.settings import Settings
from tasks.run.config import PipelineConfig


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_valid_and_opens_with_cost_and_score(name: str) -> None:
    load_config(name)
    head = (PRESETS / f"{name}.yaml").read_text(encoding="utf-8").split("\n\n")[0]
    comment = [line for line in head.splitlines() if line.startswith("#")]
    assert any("Cost:" in line for line in comment)
    assert any("Score:" in line for line in comment)


def test_the_presets_of_the_readme_exist() -> None:
    assert {"sample", "balanced", "article"} <= set(preset_names())


def test_article_follows_the_article() -> None:
    config = load_config("article")
    model = config.train.model
    assert (config.ingest.train_limit, config.ingest.test_limit) == (800_000, 200_000)
    assert (model.embedding_size, model.hidden_size, model.layers) == (400, 512, 2)
    assert (model.layer_dropout, model.head_dropout, model.bidirectional) == (0.5, 0.2, False)
    assert (config.train.learning_rate, config.train.batch_size) == (0.005, 400)
    assert (config.train.clip_norm, config.train.epochs, config.train.optimizer) == (5, 2, "adam")
    assert (config.tensors.max_length, config.train.padding) == (200, "left")
    assert (config.vocabulary.min_count, config.train.validate_every) == (2, 1000)


def test_an_override_replaces_one_setting() -> None:
    before, after = load_config("sample"), load_config("sample", ["train.epochs=7"])
    assert after.train.epochs == 7
    assert after.train.model == before.train.model


def test_overrides_are_yaml_values() -> None:
    config = load_config(
        "balanced",
        [
            "train.validate_every=null",
            "ingest.labels={negative: 1, positive: [2, good]}",
            "tokenize.lowercase=false",
        ],
    )
    assert config.train.validate_every is None
    assert (config.ingest.labels.negative, config.ingest.labels.positive) == ((1,), (2, "good"))
    assert config.tokenize.lowercase is False


def test_all_errors_are_reported_at_once_with_their_paths() -> None:
    wrong = ["train.epoch=3", "train.model.hidden_size=0", "tokenise.lowercase=true", "nonsense"]
    with pytest.raises(ConfigError) as caught:
        load_config("sample", wrong)
    message = str(caught.value)
    assert "4 errors" in message
    assert "train.epoch: unknown key (did you mean epochs?)" in message
    assert "train.model.hidden_size" in message and "given: 0" in message
    assert "tokenise: unknown key (did you mean tokenize?)" in message
    assert "--set nonsense" in message


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("train: {epochs: 2}\ntune: {}\ntrain: {epochs: 3}\n", r"'train' is given twice.*line 3"),
        ("train:\n  epochs: 2\n  'epochs': 3\n", r"'epochs' is given twice.*line 3"),
        ("train: {epochs: " + "[" * 3_000, "nested too deeply"),
        ("train: " + "{a: " * 3_000, "nested too deeply"),
    ],
    ids=["a section", "a setting", "lists", "mappings"],
)
def test_a_preset_that_no_one_can_have_meant_is_refused(
    tmp_path: Path, text: str, fault: str
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf"(?s)^{path}: not valid YAML \(.*{fault}"):
        load_config(str(path))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("train: [1, 2\n", "expected ',' or ']', but got the end, line 2, column 1"),
        ("train: {epochs: 1}}\n", "expected the end, but found '}', line 1, column 19"),
        ("train: \x01\n", "special characters are not allowed: character 8"),
    ],
)
def test_a_fault_in_yaml_is_told_in_one_line(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_config(str(path))
    assert str(error.value) == f"{path}: not valid YAML ({fault})."


def test_an_unknown_setting_is_answered_with_its_path() -> None:
    with pytest.raises(ConfigError, match=r"epochs: unknown key \(did you mean train\.epochs\?\)"):
        load_config("sample", ["epochs=3"])


@pytest.mark.parametrize("value", ["{epochs: 1, epochs: 2}", "[" * 3_000])
def test_an_override_that_no_one_can_have_meant_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match=r"not valid YAML \((the key 'epochs' is given|nested)"):
        load_config("sample", [f"train={value}"])


@pytest.mark.parametrize(
    "override",
    [
        "train.epochs=true",
        "train.learning_rate=true",
        "ingest.train_limit=false",
        "train.model.layers=true",
        "run.stage_timeout=true",
    ],
)
def test_true_and_false_are_no_numbers(override: str) -> None:
    name = override.partition("=")[0]
    with pytest.raises(ConfigError, match=rf"{name}: a number is needed, not true or false"):
        load_config("sample", [override])
    section: dict[str, Any] = {}
    put(section, name, yaml.safe_load(override.partition("=")[2]))
    with pytest.raises(ValidationError, match="a number is needed"):
        PipelineForm.model_validate(section)


def test_numbers_may_be_written_in_other_ways() -> None:
    config = load_config(
        "sample", ["train.epochs=3.0", "train.learning_rate=1e-3", "train.clip_norm=1"]
    )
    train = config.train
    assert (train.epochs, train.learning_rate, train.clip_norm) == (3, 0.001, 1.0)


def test_a_seed_that_no_generator_takes_is_refused() -> None:
    torch.manual_seed(load_config("sample", [f"train.seed={2**64 - 1}"]).train.seed)
    with pytest.raises(ConfigError, match=r"train\.seed"):
        load_config("sample", [f"train.seed={2**64}"])


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("tune=5", "tune: Input should be a valid dictionary"),
        ("train.threshold=2024-13-45", "not valid YAML (month must be in 1..12)"),
        ("run.runner=dask://host", "run.runner: expected threads, processes, dask, or dask://HOST"),
        ("run.runner=5", "run.runner: expected threads, processes, dask, or dask://HOST"),
    ],
)
def test_a_fault_is_told_once_and_in_plain_words(override: str, fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config("sample", [override])
    assert fault in str(caught.value)
    assert "1 error" in str(caught.value)


def test_a_key_may_replace_one_that_is_merged_in(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "tune:\n  train.epochs: &both {low: 1, high: 9}\n"
        "  train.batch_size:\n    <<: *both\n    high: 64\n"
    )
    assert load_config(str(path)).tune["train.batch_size"].high == 64


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean balanced"):
        load_config("balance")


def test_a_preset_file_is_found_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("train: {epochs: 5}\n")
    assert load_config(str(path)).train.epochs == 5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"train: [", "not valid YAML"),
        (b"- a\n- b\n", "sections"),
        (b"train:\n  \xff\xfe: 1\n", "not UTF-8 from byte 9 on"),
        (None, "cannot be read"),
    ],
)
def test_a_broken_preset_file_says_so(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "mine.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load_config(str(path))


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_config("sample").train.epochs = 3  # type: ignore[misc]


def test_left_padding_with_a_backward_direction_is_refused() -> None:
    with pytest.raises(ConfigError, match="train: padding: left needs"):
        load_config("article", ["train.model.bidirectional=true"])


@given(st.text(max_size=30))
def test_any_override_either_applies_or_is_a_config_error(text: str) -> None:
    try:
        load_config("sample", [text])
    except ConfigError as error:
        assert "error" in str(error)


def test_every_setting_has_a_description() -> None:
    def check(section: type[Settings]) -> list[str]:
        missing = []
        for name, field in section.model_fields.items():
            inner = field.annotation
            if isinstance(inner, type) and issubclass(inner, Settings):
                missing += check(inner)
            elif not field.description:
                missing.append(f"{section.__name__}.{name}")
        return missing

    assert check(PipelineConfig) == []


def test_a_password_is_not_repeated() -> None:
    with pytest.raises(ConfigError, match="MLFLOW_TRACKING_PASSWORD") as caught:
        load_config("sample", ["train.mlflow=https://me:secret@mlflow.example"])
    assert "secret" not in str(caught.value)
