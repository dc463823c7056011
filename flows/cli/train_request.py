"""``sentiment train-request``: training as one of the processes that torchrun started."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import DEFAULT_STORAGE, Storage, messages


def train_request(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="What `sentiment plan ... --train-request FILE` wrote."
        ),
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Train even if the result is cached.")
    ] = False,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Train for a request, on several GPUs or machines with torchrun.

    torchrun --standalone --nproc-per-node 2 -m flows.cli train-request FILE

    The number of processes must be the request's `train.processes`. Without torchrun they are
    started here.
    """
    from flows.run.request_file import read_request
    from flows.run.request_training import train_for
    from flows.ui.reporters import LineReporter
    from tasks.store import Store

    train_for(read_request(file), Store.at(storage), LineReporter(messages), force=force)
