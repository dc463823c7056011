"""The manifest of a result: what it was made from, its files, its stats."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

INPUTS = "inputs"  # folder of copies of remote input files
SHORT = 16  # hex digits of a digest in a path


class UnknownOutputError(LookupError):
    """A result has no file or figure of this name: other code wrote it."""


class Stats(dict[str, Any]):
    """What a stage's function returned; UnknownOutputError for a figure that is not there."""

    def __missing__(self, name: str) -> Any:
        raise UnknownOutputError(f"a result has no figure {name!r}: other code wrote it")


@dataclass(frozen=True)
class Artifact:
    """A file that a stage wrote, or an input file.

    ``path`` is relative to the storage root for a stage's file; for an input file it is absolute,
    or a URL.
    """

    name: str
    path: str
    sha256: str
    size: int
    mtime_ns: int
    rows: int | None = None

    @property
    def stage(self) -> str | None:
        """The stage that wrote the file, None for an input file."""
        if self.is_url or Path(self.path).is_absolute():
            return None
        return Path(self.path).parts[0]

    @property
    def is_url(self) -> bool:
        """Whether it is an input file in remote storage."""
        return "://" in self.path

    def local(self, root: Path) -> Path:
        """Return where the file is on this machine, or is brought to, for a storage root."""
        return root / INPUTS / self.sha256[:SHORT] / self.name if self.is_url else root / self.path


@dataclass(frozen=True)
class Manifest:
    """The result of one request: what its key was made of, its outputs and its stats.

    ``label`` tells a stage's requests apart, such as its shards. ``stats`` is what the stage's
    function returned. ``run`` is the pipeline run that did the work, ``machine`` where.
    """

    stage: str
    label: str
    key: str
    inputs: dict[str, list[dict[str, str]]]
    config: dict[str, Any]
    code: dict[str, str]
    libraries: dict[str, str]
    outputs: tuple[Artifact, ...]
    stats: dict[str, Any]
    seconds: float
    created: str
    run: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    machine: str = ""

    def output(self, name: str) -> Artifact:
        """Return the output of this name; raises UnknownOutputError if other code wrote none."""
        for artifact in self.outputs:
            if artifact.name == name:
                return artifact
        raise UnknownOutputError(f"{self.stage}/{self.key} has no {name}: other code wrote it")

    def to_json(self) -> str:
        """Return the manifest as JSON, with a digest of all of it."""
        content = json.loads(json.dumps(asdict(self)))  # as it will be read
        content["digest"] = digest_json(content)
        return json.dumps(content, indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> "Manifest":
        """Read what ``to_json`` wrote; raises ValueError for anything else."""
        try:
            content = json.loads(text)
            if content.pop("digest") != digest_json(content):
                raise ValueError("it was changed after it was written")
            content["outputs"] = tuple(Artifact(**artifact) for artifact in content["outputs"])
            content["stats"] = Stats(content["stats"])
            return cls(**content)
        except (TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError("not a manifest") from error


def digest_json(value: Any) -> str:
    """Return the sha256 of a JSON value; the order of keys does not matter."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def digest_outputs(manifests: Iterable[Manifest]) -> str:
    """Return one digest for the bytes of all outputs of a stage."""
    return digest_json(
        [[[artifact.name, artifact.sha256] for artifact in m.outputs] for m in manifests]
    )
