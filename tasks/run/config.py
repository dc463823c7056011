"""The configuration of a run: a section for each stage, how its work is spread, what to tune."""

from importlib.util import find_spec
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from sentiment.data.generate import SampleConfig
from sentiment.data.ingest import IngestConfig
from sentiment.evaluation.config import EvaluateConfig
from sentiment.evaluation.promotion import PromoteConfig
from sentiment.model.config import TrainConfig
from sentiment.settings import Settings
from sentiment.text.cleaning import TokenizeConfig
from sentiment.text.tensors import TensorsConfig
from sentiment.text.vocabulary import VocabularyConfig

Scalar = bool | int | float | str | None
PROTOCOLS = {"dask": "tcp", "dasks": "tls"}
ClusterAddress = Annotated[str, StringConstraints(pattern=r"^dasks?://[^/@\s]+:\d+$")]


class RunConfig(Settings):
    """How the work is spread; never affects a result."""

    runner: Literal["threads", "processes", "dask"] | ClusterAddress = Field(
        "processes",
        description="How shards are executed: by threads, processes or dask on this machine, or by "
        "the Dask cluster dask://HOST:PORT (dasks:// with TLS).",
    )
    workers: int | None = Field(
        None, ge=1, description="Workers at once on this machine; one per core if null."
    )
    train_on: Literal["in-process", "gpu-pool"] = Field(
        "in-process",
        description="Where training runs: in the run's process, or by a worker of the pool gpu.",
    )
    retries: int = Field(
        2,
        ge=0,
        description="Retries after a transient I/O error, and of a training job that crashed on "
        "the pool gpu.",
    )
    retry_delay: float = Field(10, ge=0, description="Seconds before a retry.")
    stage_timeout: float | None = Field(
        None, gt=0, description="Seconds that a stage may take; no limit if null."
    )

    @field_validator("runner", mode="wrap")
    @classmethod
    def _is_known(cls, runner: Any, check: ValidatorFunctionWrapHandler) -> str:
        try:
            return str(check(runner))
        except ValidationError:  # one for each kind, and none names them all
            raise ValueError(
                "expected threads, processes, dask, or dask://HOST:PORT (dasks:// with TLS)"
            ) from None

    @field_validator("runner")
    @classmethod
    def _dask_is_installed(cls, runner: str) -> str:
        if runner.startswith("dask") and find_spec("distributed") is None:
            raise ValueError(
                "Dask is not installed: pip install -c constraints.txt -e '.[dask]', or choose "
                "processes"
            )
        return runner

    @property
    def cluster(self) -> str | None:
        """The address of the Dask scheduler that runs the shards, as Dask writes it; or None."""
        scheme, separator, address = self.runner.partition("://")
        return f"{PROTOCOLS[scheme]}://{address}" if separator else None


class Dimension(Settings):
    """The values that a setting may take: numbers from low to high, or some choices."""

    low: int | float | None = Field(None, description="The lowest number tried.")
    high: int | float | None = Field(None, description="The highest number tried.")
    log: bool = Field(False, description="Spread the numbers by their logarithms.")
    step: int | float | None = Field(None, gt=0, description="Distance between the numbers.")
    choices: tuple[Scalar, ...] | None = Field(None, description="The values tried.")

    @model_validator(mode="after")
    def _one_kind(self) -> "Dimension":
        if self.choices is not None:
            if self.model_fields_set != {"choices"}:
                raise ValueError("give either choices, or low and high")
            if len(set(self.choices)) < max(1, len(self.choices)):
                raise ValueError("choices: give at least one value, and each only once")
        elif self.low is None or self.high is None:
            raise ValueError("give either choices, or low and high")
        elif self.low >= self.high:
            raise ValueError(f"low ({self.low}) must be below high ({self.high})")
        elif self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("log: needs a low above 0, and no step")
        return self

    def ends(self) -> tuple[Scalar, ...]:
        """Return the choices, or the lowest and the highest number."""
        return (self.low, self.high) if self.choices is None else self.choices


class PipelineConfig(Settings):
    """The settings of every stage, as in a preset file."""

    sample: SampleConfig | None = Field(
        None, description="Reviews to generate when no data folder is given."
    )
    ingest: IngestConfig = IngestConfig()
    tokenize: TokenizeConfig = TokenizeConfig()
    vocabulary: VocabularyConfig = VocabularyConfig()
    tensors: TensorsConfig = TensorsConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    promote: PromoteConfig = PromoteConfig()
    run: RunConfig = RunConfig()
    tune: dict[str, Dimension] = Field(
        default_factory=dict, description="What `sentiment tune` may change: see docs/tune.md."
    )
