"""Stages of the pipeline, and requests: one piece of work for a stage, with its key."""

import importlib
import importlib.metadata
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from sentiment.errors import StageError
from sentiment.settings import Settings
from tasks.fingerprint import fingerprint
from tasks.manifest import Artifact, Manifest, digest_json
from tasks.process import process_start

KEY_FORMAT = 1
CHECKPOINTS, REQUESTS = "checkpoints", "requests"
FORCED = "forced"  # a file among checkpoints: a forced request made them
RUN_AGAIN = "What is finished is kept: run the same command again."
KEY_LENGTH = 16  # hex digits: short enough to read in a path, long enough not to collide
Inputs = Mapping[str, Artifact | tuple[Artifact, ...]]


@dataclass(frozen=True)
class Stage:
    """A stage of the pipeline.

    Attributes:
        name: The stage's name, and its folder in the store.
        function: "module:name" of the function that does the work. It gets every input as a Path
            or a list of Paths, every setting by name, ``out`` (an empty folder to write to) and
            ``progress``, and returns its stats as a JSON object.
        reads: The stages whose results it reads.
        libraries: Distributions whose version affects the output.
        mapped: Has many requests, spread over workers.
        pieces: What its requests are, as a reason names several of them.
        python_bound: Spends its time in Python, so only processes speed it up.
        long: Shows its progress in the Prefect UI.
        resumable: Also gets ``checkpoints``, a folder that outlives a killed run.
        listed: Can be selected by the user. Other stages are details of the pipeline.
        session: "module:name" of a context manager to run the function in. It gets the function's
            inputs and settings and yields more arguments for it, such as live trackers. It must
            not affect the output: its code is in no key.
    """

    name: str
    function: str
    reads: tuple[str, ...]
    libraries: tuple[str, ...] = ()
    mapped: bool = False
    pieces: str = "shards"
    python_bound: bool = False
    long: bool = False
    resumable: bool = False
    listed: bool = True
    session: str | None = None

    def load(self) -> Callable[..., dict[str, Any]]:
        """Import and return the stage's function."""
        function: Callable[..., dict[str, Any]] = _load(self.function)
        return function

    def open_session(self, arguments: Mapping[str, Any]) -> AbstractContextManager[dict[str, Any]]:
        """Return the stage's session; entering it gives further arguments for the function."""
        return _load(self.session)(**arguments) if self.session else nullcontext({})

    @property
    def code(self) -> dict[str, str]:
        """A hash of every project definition that the function reaches, by file and name.

        Of the code that this process runs: it is read once, and StageError is raised if a file has
        changed since the process may have loaded it.
        """
        return _code(self.function)

    def has_changed(self) -> bool:
        """Return whether the sources have changed since this process read its code."""
        return read_code(self.function) != self.code

    @property
    def versions(self) -> dict[str, str]:
        """The installed versions of the stage's libraries.

        Build tags such as torch's +cpu are left out: machines with and without a GPU share results.
        """
        return {name: installed(name).partition("+")[0] for name in self.libraries}


@cache
def installed(library: str) -> str:
    """Return the version of a library that this process uses; looking it up takes a millisecond."""
    return importlib.metadata.version(library)


def _load(reference: str) -> Any:
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)


def read_code(function: str) -> dict[str, str]:
    """Return the fingerprint's definitions as the sources are now."""
    return fingerprint(function).definitions


@cache
def _code(function: str) -> dict[str, str]:
    definitions = read_code(function)
    for file in {name.partition(":")[0] for name in definitions}:
        module = sys.modules.get(file.removesuffix(".py").replace("/", "."))
        path = getattr(module, "__file__", None)
        if path and os.path.getmtime(path) > process_start():
            raise StageError(f"{file} changed while it was loaded. {RUN_AGAIN}")
    return definitions


@dataclass(frozen=True)
class Request:
    """One piece of work for a stage: its inputs and settings, which make its key.

    ``words`` says what a change means of settings that no preset holds, by the start of their
    dotted names; ``{was}`` and ``{now}`` stand for the values. They are not part of the key.
    """

    stage: Stage
    label: str
    inputs: Inputs
    settings: Mapping[str, Any] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)

    @property
    def artifacts(self) -> list[Artifact]:
        """All inputs as one list."""
        given = self.inputs.values()
        return [a for value in given for a in (value if isinstance(value, tuple) else (value,))]

    def arguments(self, root: Path) -> dict[str, Any]:
        """Return what the stage's function is called with, for a storage root."""
        paths = {
            name: value.local(root)
            if isinstance(value, Artifact)
            else [artifact.local(root) for artifact in value]
            for name, value in self.inputs.items()
        }
        resuming = {"checkpoints": self.checkpoints(root)} if self.stage.resumable else {}
        return {**paths, **self.settings, **resuming}

    def load(self) -> Callable[..., dict[str, Any]]:
        """Import and return the stage's function; StageError unless its code is the key's."""
        function = self.stage.load()
        if self.stage.code != self.ingredients["code"] or self.stage.has_changed():
            raise StageError(
                f"The code of the stage {self.stage.name} changed since this run started. "
                f"{RUN_AGAIN}"
            )
        return function

    def checkpoints(self, root: Path) -> Path:
        """Return the folder of a resumable stage's checkpoints."""
        return root / CHECKPOINTS / f"{self.stage.name}-{self.key}"

    def file(self, root: Path) -> Path:
        """Return the file that hands the request to processes that do not start with the run."""
        return root / REQUESTS / f"{self.stage.name}-{self.key}.json"

    @cached_property
    def ingredients(self) -> dict[str, Any]:
        """What the key is made of, as JSON values, under the names that ``Manifest`` uses."""
        return {
            "inputs": {
                name: [
                    {
                        "name": artifact.name,
                        "sha256": artifact.sha256,
                        "from": artifact.stage or "",
                    }
                    for artifact in (value if isinstance(value, tuple) else (value,))
                ]
                for name, value in self.inputs.items()
            },
            "config": {
                name: value.output_settings() if isinstance(value, Settings) else value
                for name, value in self.settings.items()
            },
            "code": self.stage.code,
            "libraries": self.stage.versions,
        }

    @cached_property
    def key(self) -> str:
        """The first digits of the sha256 of this work: equal keys mean equal outputs."""
        work = [KEY_FORMAT, self.stage.name, self.stage.function, self._identity()]
        return digest_json(work)[:KEY_LENGTH]

    def _identity(self) -> dict[str, Any]:
        # Only the suffixes of an input's name count: they say how to read the bytes.
        inputs = {
            name: [["".join(Path(i["name"]).suffixes[-2:]), i["sha256"]] for i in artifacts]
            for name, artifacts in self.ingredients["inputs"].items()
        }
        return {**self.ingredients, "inputs": inputs}


def split_of(artifact: Artifact) -> str:
    """Return the split of a shard of reviews, which its name starts with."""
    return artifact.name.rpartition("-")[0]


def shards_of(manifests: Iterable[Manifest]) -> list[tuple[str, Artifact]]:
    """Return the review shards that ``ingest`` wrote, in order, each with its label."""
    return [
        (f"{manifest.label}/{artifact.name.removesuffix('.parquet')}", artifact)
        for manifest in manifests
        for artifact in sorted(filter(split_of, manifest.outputs), key=_place)
    ]


def reviews_of(split: str, ingested: Iterable[Manifest]) -> tuple[Artifact, ...]:
    """Return the review shards of a split, in order."""
    return tuple(shard for _, shard in shards_of(ingested) if split_of(shard) == split)


def outputs_of(
    split: str, ingested: Sequence[Manifest], of_shards: Sequence[Manifest], name: str
) -> tuple[Artifact, ...]:
    """Return the outputs of this name that a mapped stage wrote for a split, in shard order."""
    return tuple(
        manifest.output(name)
        for (_, shard), manifest in zip(shards_of(ingested), of_shards, strict=True)
        if split_of(shard) == split
    )


def _place(shard: Artifact) -> tuple[str, int]:
    # As text, 100000 would sort before 99999.
    split, _, number = shard.name.removesuffix(".parquet").rpartition("-")
    return split, int(number)
