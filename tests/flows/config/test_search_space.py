"""A preset's section ``tune``: what it may name, and the messages about mistakes."""

from pathlib import Path

import optuna
import pytest
import yaml

from flows.config.presets import load_config, preset_names
from flows.config.search_space import takes_whole_numbers, with_values
from flows.study import suggest
from sentiment.errors import ConfigError
from tasks.run.config import Dimension, PipelineConfig


def preset(folder: Path, **tune: object) -> str:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({"train": {"epochs": 2}, "tune": tune}))
    return str(path)


def test_a_space_is_read(tmp_path: Path) -> None:
    space = {
        "train.learning_rate": {"low": 0.001, "high": 0.1, "log": True},
        "train.model.hidden_size": {"choices": [32, 64]},
        "tokenize.negations": {"choices": ["keep", "expand"]},
        "train.max_length": {"choices": [None, 50]},
    }
    config = load_config(preset(tmp_path, **space))
    assert config.tune["train.learning_rate"] == Dimension(low=0.001, high=0.1, log=True)
    assert config.tune["train.max_length"].choices == (None, 50)


@pytest.mark.parametrize(
    ("path", "entry", "message"),
    [
        ("train.learning_rat", {"choices": [1]}, "unknown setting (did you mean learning_rate?)"),
        ("train.modle.layers", {"choices": [1]}, "unknown setting (did you mean model?)"),
        ("trian.epochs", {"choices": [1]}, "can be tuned (did you mean train?)"),
        ("evaluate.threshold", {"choices": [0.1]}, "only settings of tokenize, vocabulary"),
        ("ingest.train_limit", {"choices": [9]}, "only settings of tokenize, vocabulary"),
        ("train.model", {"choices": [1]}, "is a section; name one of its settings"),
        ("train.epochs.more", {"choices": [1]}, "unknown setting"),
        ("train.checkpoint_every", {"choices": [9]}, "does not affect the result"),
        ("train.epochs", {"low": 1}, "give either choices, or low and high"),
        ("train.epochs", {"low": 3, "high": 3}, "low (3) must be below high (3)"),
        ("train.warmup", {"low": 0.0, "high": 0.5, "log": True}, "log: needs a low above 0"),
        ("train.epochs", {"choices": [1, 2], "low": 1}, "give either choices, or low and high"),
        ("train.epochs", {"choices": [2, 2]}, "each only once"),
        ("train.epochs", {"choices": []}, "at least one value"),
        ("train.epochs", {"choice": [1]}, "unknown key (did you mean choices?)"),
        ("train.epochs", {"low": 0, "high": 3}, "greater than or equal to 1 (given: 0)"),
        ("train.epochs", {"choices": [True, 2]}, "a number is needed, not true or false"),
        ("train.epochs", {"low": True, "high": 3}, "a number is needed, not true or false"),
        ("train.epochs", {"low": 1.5, "high": 3.0}, "valid integer"),
        ("train.optimizer", {"choices": ["adam", "sgd"]}, "(given: 'sgd')"),
        ("train.model.head_dropout", {"low": 0.0, "high": 1.0}, "less than 1 (given: 1.0)"),
        ("train.epochs", 3, "tune.train.epochs"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, path: str, entry: object, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(preset(tmp_path, **{path: entry}))
    assert f"tune.{path}" in str(error.value)
    assert message in str(error.value)


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    space = {"train.epoch": {"choices": [1]}, "run.workers": {"choices": [1]}, "train.seed": 1}
    with pytest.raises(ConfigError, match="has 3 errors") as error:
        load_config(preset(tmp_path, **space))
    assert all(f"tune.{path}" in str(error.value) for path in space)


def test_values_that_only_go_together_with_others_are_allowed(tmp_path: Path) -> None:
    """The ends are checked one by one: another dimension may make them fit."""
    config = load_config(preset(tmp_path, **{"train.padding": {"choices": ["left", "right"]}}))
    fitting = {"train.model.bidirectional": False, "train.model.pooling": "last"}
    assert with_values(config, {"train.padding": "left", **fitting}).train.padding == "left"
    with pytest.raises(ConfigError, match=r"do not go together: train: padding: left needs"):
        with_values(config, {"train.padding": "left"})


def test_values_replace_only_what_they_name() -> None:
    config = load_config("balanced")
    changed = with_values(config, {"train.epochs": 9, "vocabulary.min_count": 4})
    assert (changed.train.epochs, changed.vocabulary.min_count) == (9, 4)
    back = {
        "train.epochs": config.train.epochs,
        "vocabulary.min_count": config.vocabulary.min_count,
    }
    assert with_values(changed, back).output_settings() == config.output_settings()


@pytest.mark.parametrize("name", ["sample", "balanced"])
def test_presets_with_a_space_stay_what_they_are(name: str) -> None:
    assert name in preset_names()
    assert load_config(name).tune


def test_whole_numbers_stay_whole() -> None:
    assert takes_whole_numbers(PipelineConfig, "train.epochs")
    assert takes_whole_numbers(PipelineConfig, "train.max_length")  # or null
    assert not takes_whole_numbers(PipelineConfig, "train.clip_norm")
    trial = optuna.trial.FixedTrial({"train.epochs": 2, "train.clip_norm": 1.5})
    dimension = Dimension(low=1, high=3)
    assert suggest(trial, "train.epochs", dimension) == 2  # type: ignore[arg-type]
    assert suggest(trial, "train.clip_norm", dimension) == 1.5  # type: ignore[arg-type]
