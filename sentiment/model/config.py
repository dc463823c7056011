"""What a model is made of, how it learns, and how it is judged."""

from importlib.util import find_spec
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from sentiment.settings import SECRET, Settings, operational


class NgramsConfig(Settings):
    """The wide part of a model: a linear model over n-grams, trained beside the LSTM."""

    longest: int = Field(2, ge=1, le=5, description="Words of the longest n-grams.")
    buckets: int = Field(
        2**20, ge=1, description="Weights that the n-grams of two or more words share by a hash."
    )
    min_count: int = Field(2, ge=1, description="n-grams in fewer training reviews are ignored.")
    learning_rate: float = Field(
        0.03, gt=0, description="The highest learning rate of its weights."
    )
    prior: float = Field(
        2000.0,
        gt=0,
        description="Added to the squared length of a review before it is scaled to 1, so that the "
        "few n-grams of a short text count for less.",
    )


class ModelConfig(Settings):
    """The shape of a ``SentimentLSTM``."""

    embedding_size: int = Field(128, ge=1, description="Numbers that stand for a word.")
    embedding_std: float = Field(
        0.1, gt=0, description="Standard deviation of the embedding's first values."
    )
    hidden_size: int = Field(128, ge=1, description="Size of an LSTM state, per direction.")
    layers: int = Field(1, ge=1, description="LSTM layers on top of each other.")
    bidirectional: bool = Field(True, description="Also read each review from its end.")
    pooling: Literal["last", "mean", "max", "mean+max"] = Field(
        "mean+max", description="How the states of all steps become one vector."
    )
    word_dropout: float = Field(0.0, ge=0, lt=1, description="Share of words hidden in training.")
    embedding_dropout: float = Field(0.0, ge=0, lt=1, description="Dropout after the embedding.")
    layer_dropout: float = Field(0.0, ge=0, lt=1, description="Dropout between LSTM layers.")
    head_dropout: float = Field(0.0, ge=0, lt=1, description="Dropout before the last layer.")
    ngrams: NgramsConfig | None = Field(
        None, description="A linear part over n-grams whose logit is added; none if null."
    )


class TrainConfig(Settings):
    """How a model is trained."""

    model: ModelConfig = ModelConfig()
    padding: Literal["right", "left"] = Field(
        "right",
        description="right: to the longest review of a batch, and without effect. left: to the "
        "fixed tensors.max_length, as the 2019 article did; the model reads the padding.",
    )
    epochs: int = Field(2, ge=1, description="Times every training review is used.")
    batch_size: int = Field(64, ge=1, description="Reviews in an optimiser step.")
    optimiser: Literal["adam", "adamw"] = Field("adamw", description="The optimiser.")
    learning_rate: float = Field(0.003, gt=0, description="The highest learning rate.")
    weight_decay: float = Field(0.01, ge=0, description="Decoupled weight decay, for adamw.")
    schedule: Literal["constant", "cosine"] = Field(
        "cosine", description="constant, or a linear warm-up and then a cosine down to 0."
    )
    warmup: float = Field(0.1, ge=0, lt=1, description="Share of the steps spent warming up.")
    clip_norm: float = Field(1.0, gt=0, description="The gradient's norm is cut to this.")
    max_length: int | None = Field(
        None, ge=1, description="Tokens of a review used in a training step; all stored if null."
    )
    excerpts: int = Field(
        0,
        ge=0,
        description="Sentences of each review from which the LSTM learns by themselves, in a step "
        "of their own, so that the model can judge short texts.",
    )
    vectors: str | None = operational(
        None,
        description="Word vectors with which the embedding starts: a text file (GloVe, fastText), "
        "or a folder or installed package with a .npy and its words. Their content is in the "
        "stage's key, not their place.",
    )
    validate_every: int | None = Field(
        None, ge=1, description="Steps between validations; after every epoch if null."
    )
    log_every: int = Field(50, ge=1, description="Steps between rows of the history.")
    checkpoint_every: int = operational(
        500, ge=1, description="Steps between checkpoints, from which a killed run goes on."
    )
    keep_checkpoints: int = operational(2, ge=1, description="Checkpoints kept while training.")
    max_loss: float | None = operational(
        0.68,
        gt=0,
        description="A run fails when the best validation loss is not below this, by default just "
        "below that of guessing (ln 2 = 0.693); it never does if null.",
    )
    tensorboard: str | None = operational(
        None,
        description="Folder in which TensorBoard finds the history while it grows.",
    )
    mlflow: str | None = operational(
        None,
        description="MLflow that is told the history while it grows: a server's address, or "
        "sqlite:///FILE. A login belongs into MLFLOW_TRACKING_USERNAME and _PASSWORD.",
    )
    seed: int = Field(1, ge=0, description="Seed of weights, order and dropout.")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where to train; auto takes a GPU where there is one."
    )
    processes: int = Field(
        1,
        ge=1,
        description="Processes that share each batch, on a GPU machine one per GPU. Dropout and "
        "rounding differ with their number.",
    )
    precision: Literal["float32", "tf32", "bf16"] = Field(
        "float32",
        description="Of the arithmetic while training: tf32 and bf16 are faster and coarser, and "
        "need a GPU.",
    )

    @field_validator("tensorboard", "mlflow")
    @classmethod
    def _tracker_is_installed(cls, where: str | None, field: ValidationInfo) -> str | None:
        package = find_spec(field.field_name or "") if where else None
        if where and (package is None or package.origin is None):  # a plain folder has no origin
            raise ValueError(
                f"{field.field_name} is not installed: "
                f"pip install -c constraints.txt -e '.[{field.field_name}]'"
            )
        return where

    @field_validator("mlflow")
    @classmethod
    def _address_without_a_login(cls, address: str | None) -> str | None:
        if address is not None and urlsplit(address).password is not None:
            raise PydanticCustomError(
                SECRET,
                "a password would be kept with the run: put the login into "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
            )
        return address

    @model_validator(mode="after")
    def _left_padding_needs_the_last_state(self) -> "TrainConfig":
        if self.padding == "left" and (self.model.bidirectional or self.model.pooling != "last"):
            raise ValueError(
                "padding: left works with model.pooling last and model.bidirectional false only, "
                "since every other state would depend on the padding"
            )
        if self.padding == "left" and self.max_length is not None:
            raise ValueError("max_length: cannot differ from tensors.max_length with padding left")
        if self.padding == "left" and self.excerpts:
            raise ValueError("excerpts: work with padding right only")
        return self
