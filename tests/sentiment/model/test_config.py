"""Training settings that cannot work are refused by name."""

import math
from typing import Any

import pytest
from pydantic import ValidationError

from sentiment.model.config import ModelConfig, TrainConfig


class TestConfig:
    @pytest.mark.parametrize(
        "model",
        [{"bidirectional": True, "pooling": "last"}, {"bidirectional": False, "pooling": "max"}],
    )
    def test_left_padding_needs_the_last_state_of_one_direction(
        self, model: dict[str, Any]
    ) -> None:
        with pytest.raises(ValidationError, match="padding: left needs"):
            TrainConfig(padding="left", model=ModelConfig(**model))

    def test_left_padding_has_one_length(self) -> None:
        model = ModelConfig(bidirectional=False, pooling="last")
        assert TrainConfig(padding="left", model=model).padding == "left"
        with pytest.raises(ValidationError, match=r"max_length: must be null"):
            TrainConfig(padding="left", model=model, max_length=9)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("epochs", 0),
            ("batch_size", 0),
            ("learning_rate", 0),
            ("learning_rate", math.nan),
            ("learning_rate", math.inf),
            ("warmup", 1.0),
            ("clip_norm", 0),
            ("validate_every", 0),
            ("max_length", 0),
            ("seed", -1),
            ("padding", "middle"),
            ("optimizer", "sgd"),
            ("schedule", "linear"),
            ("device", "tpu"),
            ("precision", "fp16"),
            ("epoch", 3),
            ("model", {"word_dropout": 1.0}),
            ("model", {"pooling": "min"}),
            ("model", {"layers": 0}),
            ("model", {"width": 3}),
        ],
    )
    def test_what_cannot_be_is_refused_by_name(self, name: str, value: Any) -> None:
        with pytest.raises(ValidationError) as caught:
            TrainConfig(**{name: value})
        assert caught.value.errors()[0]["loc"][0] == name

    def test_settings_do_not_change(self) -> None:
        with pytest.raises(ValidationError, match="frozen"):
            TrainConfig().epochs = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    "given",
    ["none", {"negative": 1}, {"negative": 0, "positive": 1}, {"negative": True, "positive": 1}],
)
def test_class_weights_are_balanced_or_for_both_classes(given: Any) -> None:
    with pytest.raises(ValidationError, match="give null, balanced, or numbers above 0") as caught:
        TrainConfig(class_weight=given)
    assert caught.value.error_count() == 1


@pytest.mark.parametrize("given", [0, 1, True, "recall", None, [0.3], {}])
def test_a_threshold_is_a_number_or_a_measure(given: Any) -> None:
    with pytest.raises(ValidationError, match="give a number between 0 and 1, or one of accuracy"):
        TrainConfig(threshold=given)


def test_settings_of_classes_outlive_json() -> None:
    config = TrainConfig(class_weight={"negative": 4, "positive": 1}, threshold="mcc")
    assert TrainConfig.model_validate(config.output_settings()) == config
