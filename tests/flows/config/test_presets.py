"""Presets, overrides, and the messages about wrong ones."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
        ["train.validate_every=null", "ingest.labels=[1, 2]", "tokenize.lowercase=false"],
    )
    assert config.train.validate_every is None
    assert config.ingest.labels == (1, 2)
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
