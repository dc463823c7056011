"""Settings of a training that cannot work are refused by name."""

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
