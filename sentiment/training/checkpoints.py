"""Checkpoints of a training run: everything needed to resume as if nothing had happened.

A checkpoint is one safetensors file, ``step-<step>.<digest>.safetensors``, with the state other
than tensors as JSON in its header. It is written atomically, so a kill leaves the previous one. The
digest (the first digits of the file's sha256) and the training run that the header names are
checked before it is resumed from: wrong weights would end as a model that looks like any other.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sentiment.errors import StorageError
from sentiment.files import digest_file, flush

log = logging.getLogger(__name__)

STATE, TRAINING = "state", "training"


@dataclass(frozen=True)
class Checkpoint:
    """Named tensors, and the other state as a JSON object."""

    tensors: dict[str, Tensor]
    state: dict[str, Any]


class Checkpoints:
    """The last ``keep`` checkpoints of one training, in one folder whose name identifies it."""

    def __init__(self, folder: Path, keep: int) -> None:
        self._folder, self._keep = folder, keep

    def save(self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Write the state after ``step`` steps, then remove the oldest checkpoints."""
        self._folder.mkdir(parents=True, exist_ok=True)
        contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
        about = {STATE: json.dumps(state), TRAINING: self._folder.name}
        unfinished = self._folder / ".unfinished"  # one name: what a kill leaves is overwritten
        try:
            save_file(contiguous, unfinished, metadata=about)
            flush(unfinished)
            unfinished.replace(self._folder / f"step-{step:012d}.{_digest(unfinished)}.safetensors")
            flush(self._folder)
        finally:
            unfinished.unlink(missing_ok=True)
        for old in self._paths()[: -self._keep]:
            old.unlink()

    def load(self) -> Checkpoint | None:
        """Return the newest intact checkpoint, or None; remove damaged and foreign ones.

        Raises StorageError, and removes nothing, if the system cannot read a file: it may later.
        """
        for path in reversed(self._paths()):
            try:
                if _digest(path) != path.name.split(".")[1]:
                    raise ValueError("its content is not what was written")
                with safe_open(path, framework="pt") as file:
                    if (training := file.metadata()[TRAINING]) != self._folder.name:
                        raise ValueError(f"it belongs to {training}")
                    state = json.loads(file.metadata()[STATE])
                    return Checkpoint({name: file.get_tensor(name) for name in file.keys()}, state)  # noqa: SIM118
            except OSError as error:
                raise StorageError(
                    f"{path}: the checkpoint cannot be read ({error}). Run again to resume from "
                    "it, or remove the file to resume from the previous one."
                ) from error
            except (SafetensorError, KeyError, TypeError, ValueError) as error:
                log.warning("checkpoint %s cannot be used (%s): removed", path.name, error)
                path.unlink()  # the previous one is as good, only older
        return None

    def newest(self) -> Path | None:
        """Return the newest checkpoint's path, for messages."""
        return next(reversed(self._paths()), None)

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob("step-*.*.safetensors"))


def _digest(path: Path) -> str:
    return digest_file(path)[:16]
