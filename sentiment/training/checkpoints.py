"""Checkpoints of a training run: all that is needed to go on as if nothing had happened.

A checkpoint is one safetensors file, with the numbers that are no tensors as JSON in its header. It
appears in one step, so a kill leaves the one before.
"""

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sentiment.errors import StorageError

log = logging.getLogger(__name__)

STATE = "state"


@dataclass(frozen=True)
class Checkpoint:
    """Named tensors, and the rest of the state as a JSON object."""

    tensors: dict[str, Tensor]
    state: dict[str, Any]


class Checkpoints:
    """The checkpoints of one training run in one folder, the last ``keep`` of them."""

    def __init__(self, folder: Path, keep: int) -> None:
        self._folder, self._keep = folder, keep

    def save(self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Write the state after ``step`` steps, then remove checkpoints that are too old."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(step)
        unfinished = path.with_name(f".{path.name}-{os.getpid()}")
        try:
            contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
            save_file(contiguous, unfinished, metadata={STATE: json.dumps(state)})
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
        for old in self._paths()[: -self._keep]:
            old.unlink()

    def load(self) -> Checkpoint | None:
        """Return the newest checkpoint that is whole, None without any; remove damaged ones.

        Raises StorageError, and removes nothing, where the system cannot read a file: it may later.
        """
        for path in reversed(self._paths()):
            try:
                with safe_open(path, framework="pt") as file:
                    state = json.loads(file.metadata()[STATE])
                    return Checkpoint({name: file.get_tensor(name) for name in file.keys()}, state)  # noqa: SIM118
            except OSError as error:
                raise StorageError(
                    f"{path}: the checkpoint cannot be read ({error}). Run it again to go on from "
                    "there, or remove the file to go on from the one before."
                ) from error
            except (SafetensorError, KeyError, TypeError, ValueError) as error:
                log.warning("the checkpoint %s is damaged (%s) and removed", path.name, error)
                path.unlink()  # the one before it is as good, only older
        return None

    def newest(self) -> Path | None:
        """Return the newest checkpoint's file, for messages."""
        return next(reversed(self._paths()), None)

    def _path(self, step: int) -> Path:
        return self._folder / f"step-{step:012d}.safetensors"

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob("step-*.safetensors"))
