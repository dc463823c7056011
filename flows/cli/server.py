"""``sentiment up``, ``down`` (a Prefect server on this machine) and ``deploy`` (to any server)."""

import os
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import DEFAULT_STORAGE, Storage, output
from sentiment.errors import ConfigError

Folder = Annotated[Path, typer.Option(help="Folder for the server's database, password and logs.")]
DEFAULT_FOLDER = Path(".prefect-local")


def up(
    port: Annotated[
        int,
        typer.Option(min=1, max=65534, help="Server port; reports are served on the next one."),
    ] = 4200,
    gpu: Annotated[
        bool | None,
        typer.Option(help="Also start a worker for the pool gpu; by default if CUDA is available."),
    ] = None,
    folder: Folder = DEFAULT_FOLDER,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Start a local Prefect server with all deployments and workers."""
    from flows.server.local import api_url
    from flows.server.local import up as start

    if gpu is None:
        import torch

        gpu = torch.cuda.is_available()
    start(folder, storage=storage, port=port, gpu=gpu, note=output.print)
    url = api_url(port)
    if os.environ.get("PREFECT_SERVER_API_AUTH_STRING"):
        asked = "that of PREFECT_SERVER_API_AUTH_STRING"
    else:
        asked = f"the line in {folder}/password"
    output.print(f"UI         {url.removesuffix('/api')}")
    output.print(f"password   {asked}; the UI asks for it, and the reports")
    output.print(f"use it     export PREFECT_API_URL={url}")
    output.print(f"logs       {folder}/*.log")
    ours = "down, or make down" if folder == DEFAULT_FOLDER else f"down --folder {folder}"
    output.print(f"stop       sentiment {ours}")


def down(folder: Folder = DEFAULT_FOLDER) -> None:
    """Stop the server and workers that `up` started, and their runs."""
    from flows.server.local import down as stop

    stop(folder, output.print)


def deploy() -> None:
    """Deploy all flows to the server at PREFECT_API_URL.

    Also creates the work pools, and the automation that marks dead runs.
    """
    if not os.environ.get("PREFECT_API_URL"):
        raise ConfigError("Set PREFECT_API_URL to the server's address: http://HOST:4200/api")
    from flows.server.deployments import deploy as deploy_flows
    from flows.server.processes import set_password

    set_password()
    deploy_flows(os.environ, output.print)
