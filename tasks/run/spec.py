"""What a run is asked for, and what its stages have found so far."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from sentiment.data.generate import SampleConfig
from sentiment.errors import ConfigError
from sentiment.training.vectors import find_vectors
from tasks.manifest import Manifest
from tasks.run.config import PipelineConfig
from tasks.sources import find_sources
from tasks.store import Store
from tasks.store.place import resolved

Done: TypeAlias = Mapping[str, Sequence[Manifest]]  # the manifests of the stages before, by name


@dataclass(frozen=True)
class RunSpec:
    """The configuration (and its preset's name), the data and the storage of a run.

    ``data`` is a folder, a file or a URL. Without it the reviews are generated. ``overrides`` are
    those of ``--set``, which the configuration holds already; only the commands that messages
    suggest repeat them.
    """

    preset: str
    config: PipelineConfig
    data: str | Path | None
    store: Store
    overrides: Sequence[str] = ()

    @property
    def generated(self) -> bool:
        """Whether the reviews are generated."""
        return self.data is None

    @property
    def about(self) -> dict[str, Any]:
        """The preset and the data folder, which tell runs apart; for the run's record."""
        return {"preset": self.preset, "data": resolved(self.data) if self.data else None}

    @property
    def title(self) -> str:
        """The heading of the report and the model card."""
        return f"Review sentiment: preset {self.preset}"

    @property
    def sample(self) -> SampleConfig:
        """How to generate reviews; ConfigError if the preset does not say."""
        if self.config.sample is None:
            raise ConfigError(
                f"The preset {self.preset} needs reviews: name their folder with --data. The "
                "preset sample generates its own."
            )
        return self.config.sample

    def check(self) -> None:
        """Raise, before any work, what is wrong with the data folder or the word vectors."""
        if self.data is None:
            _ = self.sample
        else:
            find_sources(self.data)
        find_vectors(self.config.train.vectors)
