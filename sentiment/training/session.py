"""What surrounds training without affecting the model: trackers, log lines, advice on memory.

The stage ``train`` runs its function inside :func:`training_session`, whose code is in no key:
editing a tracker or a message retrains nothing.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sentiment.model.bundle import BundleConfig
from sentiment.model.config import TrainConfig
from sentiment.model.devices import choose_device
from sentiment.text.cleaning import TokenizeConfig
from sentiment.text.tensors import TensorsConfig
from sentiment.training.history import Record
from sentiment.training.out_of_memory import saying_what_to_lower
from sentiment.training.tracking import tracked
from sentiment.training.train import longest_review

log = logging.getLogger(__name__)


@contextmanager
def training_session(
    *,
    train: TrainConfig,
    tensors: TensorsConfig,
    tokenize: TokenizeConfig,
    checkpoints: Path,
    **_: Any,
) -> Iterator[dict[str, Record]]:
    """Prepare a call of ``train_model`` with these arguments; yield the further ones.

    Trackers know the training by the name of its checkpoint folder. Raises TrainingError, which
    names the settings to lower, when the block runs out of memory.
    """
    if train.device == "auto" and choose_device(train.device).type == "cpu":
        log.info("on the CPU: PyTorch sees no CUDA GPU here (train.device is auto)")
    settings = BundleConfig(tokenize=tokenize, tensors=tensors, train=train).output_settings()
    with (
        saying_what_to_lower(train, longest_review(train, tensors)),
        tracked(train, checkpoints.name, settings) as record,
    ):
        yield {"record": record}
