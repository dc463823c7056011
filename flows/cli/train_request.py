"""``sentiment train-request``: training as one of the processes that torchrun started."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import DEFAULT_STORAGE, Storage, messages


def train_request(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="The training job, as `sentiment plan ... --train-request FILE` wrote it.",
        ),
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Train even if the result is cached.")
    ] = False,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Run the training job in FILE, with torchrun on several GPUs or machines.

    torchrun --standalone --nproc-per-node 2 -m flows.cli train-request FILE

    The number of processes must be the job's `train.processes`. Without torchrun, this command
    starts the processes itself.
    """
    from flows.run.request_file import read_request
    from flows.run.request_training import train_for
    from flows.ui.reporters import LineReporter
    from tasks.store import Store

    train_for(read_request(file), Store.at(storage), LineReporter(messages), force=force)
