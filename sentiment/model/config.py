"""Settings of the model and of how it is trained."""

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from sentiment.model.measures import MEASURES
from sentiment.settings import SECRET, Settings, operational

# Settings of training that the n-gram branch does not use.
LSTM_ONLY = ("padding", "learning_rate", "weight_decay", "sentences", "vectors")


class NgramsConfig(Settings):
    """The linear n-gram branch, trained beside the LSTM or alone."""

    max_n: int = Field(2, ge=1, le=5, description="Words in the longest n-grams.")
    buckets: int = Field(
        2**20,
        ge=1,
        le=2**30,
        description="Weights that n-grams of two or more words share by hashing.",
    )
    min_count: int = Field(2, ge=1, description="Ignore n-grams in fewer training reviews.")
    learning_rate: float = Field(0.03, gt=0, description="Peak learning rate of this branch.")
    norm_smoothing: float = Field(
        2000.0,
        gt=0,
        description="Added to the squared norm of a review before it is scaled to 1, so that the "
        "few n-grams of a short text count less.",
    )
    ratio_smoothing: float | None = Field(
        None,
        gt=0,
        description="Also weigh n-grams by how unevenly the two labels use them, as in NB-SVM. "
        "This number is added to each count first. If null, only rarity counts.",
    )


class ModelConfig(Settings):
    """The shape of a ``SentimentLSTM``."""

    lstm: bool = Field(
        True, description="The LSTM branch; false leaves the n-grams alone, a linear model."
    )
    embedding_size: int = Field(128, ge=1, description="Word embedding dimension.")
    embedding_std: float = Field(
        0.1, gt=0, description="Standard deviation of the embedding's initial values."
    )
    hidden_size: int = Field(128, ge=1, description="Size of an LSTM state, per direction.")
    layers: int = Field(1, ge=1, description="Stacked LSTM layers.")
    bidirectional: bool = Field(True, description="Also read each review backwards.")
    pooling: Literal["last", "mean", "max", "mean+max"] = Field(
        "mean+max", description="How the states of all steps become one vector."
    )
    word_dropout: float = Field(0.0, ge=0, lt=1, description="Share of words hidden in training.")
    embedding_dropout: float = Field(0.0, ge=0, lt=1, description="Dropout after the embedding.")
    layer_dropout: float = Field(0.0, ge=0, lt=1, description="Dropout between LSTM layers.")
    head_dropout: float = Field(0.0, ge=0, lt=1, description="Dropout before the last layer.")
    ngrams: NgramsConfig | None = Field(
        None, description="A linear n-gram branch, whose logit is added; none if null."
    )

    @property
    def branch_names(self) -> tuple[str, ...]:
        there = {"lstm": self.lstm, "ngrams": self.ngrams}
        return tuple(name for name, branch in there.items() if branch)

    @property
    def separable(self) -> bool:
        """Whether the LSTM's directions can be read one after the other: they meet at the end."""
        return self.lstm and self.bidirectional and self.layers == 1

    @property
    def exits(self) -> int:
        """How often fast scoring can stop early: after the n-grams and after a direction."""
        return 0 if len(self.branch_names) < 2 else 1 + self.separable

    @model_validator(mode="after")
    def _without_an_lstm_only_ngrams(self) -> "ModelConfig":
        if not self.lstm:
            if self.ngrams is None:
                raise ValueError("ngrams: needed with lstm false, as the model has no other branch")
            _refuse_changed(self, set(ModelConfig.model_fields) - {"lstm", "ngrams"}, "lstm")
        return self


def _refuse_changed(settings: Settings, names: Iterable[str], switch: str) -> None:
    """Raise ValueError for settings of the LSTM that are not at their defaults."""
    fields = type(settings).model_fields
    changed = [
        name for name in fields if name in names and getattr(settings, name) != fields[name].default
    ]
    if changed:
        raise ValueError(
            f"{', '.join(changed)}: only for an LSTM, and {switch} is false; remove it"
        )


class TrainConfig(Settings):
    """How a model is trained."""

    model: ModelConfig = Field(default_factory=ModelConfig)
    padding: Literal["right", "left"] = Field(
        "right",
        description="right: to the longest review of a batch; the model ignores it. left: to "
        "tensors.max_length, as in the 2019 article; the model reads the padding.",
    )
    epochs: int = Field(2, ge=1, description="Passes over the training reviews.")
    batch_size: int = Field(64, ge=1, description="Reviews per optimizer step.")
    optimizer: Literal["adam", "adamw"] = Field("adamw", description="Optimizer.")
    learning_rate: float = Field(
        0.003, gt=0, description="Peak learning rate; the n-grams have one of their own."
    )
    weight_decay: float = Field(0.01, ge=0, description="Decoupled weight decay, for adamw.")
    schedule: Literal["constant", "cosine"] = Field(
        "cosine", description="constant, or a linear warm-up and then a cosine decay to 0."
    )
    warmup: float = Field(0.1, ge=0, lt=1, description="Share of the steps spent warming up.")
    clip_norm: float = Field(1.0, gt=0, description="Maximum gradient norm.")
    max_length: int | None = Field(
        None, ge=1, description="Tokens of a review read in training; all stored ones if null."
    )
    class_weight: Literal["balanced"] | dict[Literal["negative", "positive"], float] | None = Field(
        None,
        description="Weights of the classes in the loss: null for none, balanced for the inverse "
        "of their frequency, or numbers such as {negative: 4, positive: 1}, of which only the "
        "ratio counts.",
    )
    threshold: float | Literal["accuracy", "balanced_accuracy", "f1", "mcc"] = Field(
        0.5,
        description="A review with at least this probability is positive: a number between 0 and "
        "1, or the measure (accuracy, balanced_accuracy, f1, mcc) by which it is chosen on the "
        "validation reviews.",
    )
    sentences: int = Field(
        0,
        ge=0,
        description="Sentence augmentation: sentences of each review on which the LSTM takes a "
        "further step, so that the model can judge short texts.",
    )
    vectors: str | None = operational(
        None,
        description="Word vectors that initialise the embedding: a text file (GloVe, fastText), "
        "or a folder or installed package with a .npy file and its words. The stage's key has "
        "their content, not their path.",
    )
    validate_every: int | None = Field(
        None, ge=1, description="Steps between validations; once per epoch if null."
    )
    log_every: int = Field(50, ge=1, description="Steps between rows of the history.")
    checkpoint_every: int = operational(
        500, ge=1, description="Steps between checkpoints, from which a killed run resumes."
    )
    keep_checkpoints: int = operational(2, ge=1, description="Checkpoints kept during training.")
    max_loss: float | None = operational(
        0.68,
        gt=0,
        description="A run fails if the best validation loss is not below this; no limit if null. "
        "The default is just below the loss of guessing (ln 2 = 0.693).",
    )
    tensorboard: str | None = operational(
        None,
        description="Folder for live metrics in TensorBoard.",
    )
    mlflow: str | None = operational(
        None,
        description="MLflow tracking URI for live metrics: a server's address, or sqlite:///FILE. "
        "Put a login into MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.",
    )
    seed: int = Field(1, ge=0, lt=2**64, description="Seed of initial weights, order and dropout.")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where to train; auto uses a GPU if there is one."
    )
    processes: int = Field(
        1,
        ge=1,
        description="Processes that share each batch, one per GPU on a GPU machine. Dropout and "
        "rounding depend on their number.",
    )
    precision: Literal["float32", "tf32", "bf16"] = Field(
        "float32",
        description="Training arithmetic: tf32 and bf16 are faster and less exact, and need a GPU.",
    )

    @field_validator("class_weight", mode="before")
    @classmethod
    def _weights_of_both_classes(cls, given: object) -> object:
        numbers = given if isinstance(given, Mapping) else {}
        named = set(numbers) == {"negative", "positive"} and all(
            isinstance(each, int | float) and not isinstance(each, bool) and each > 0
            for each in numbers.values()
        )
        if not (given is None or given == "balanced" or named):
            raise ValueError(
                "give null, balanced, or numbers above 0 for both classes, such as "
                "{negative: 4, positive: 1}"
            )
        return given

    @field_validator("threshold", mode="before")
    @classmethod
    def _threshold_or_measure(cls, given: object) -> object:
        number = isinstance(given, int | float) and not isinstance(given, bool) and 0 < given < 1
        if not number and not (isinstance(given, str) and given in MEASURES):
            raise ValueError(f"give a number between 0 and 1, or one of {', '.join(MEASURES)}")
        return given

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
                "a password would be stored with the run: put the login into "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
            )
        return address

    @model_validator(mode="after")
    def _without_an_lstm_no_settings_of_it(self) -> "TrainConfig":
        if not self.model.lstm:
            _refuse_changed(self, LSTM_ONLY, "model.lstm")
        return self

    @model_validator(mode="after")
    def _left_padding_needs_the_last_state(self) -> "TrainConfig":
        if self.padding == "left" and (self.model.bidirectional or self.model.pooling != "last"):
            raise ValueError(
                "padding: left needs model.pooling last and model.bidirectional false, since "
                "every other state would depend on the padding"
            )
        if self.padding == "left" and self.max_length is not None:
            raise ValueError(
                "max_length: must be null with padding left, which uses tensors.max_length"
            )
        if self.padding == "left" and self.sentences:
            raise ValueError("sentences: must be 0 with padding left")
        return self
