"""The name of a run in the Prefect UI: its preset, its data, and a unique end."""

from collections.abc import Iterable
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext

from flows.ui.artifacts import attempt
from tasks.manifest import Artifact, digest_json
from tasks.stage import Request


def run_name(preset: str, sources: Iterable[Artifact], flow_run: UUID) -> str:
    """Return a name such as ``balanced-3f2a91c0-5b0c1e``; equal data give equal middle parts.

    A run that is retried keeps its name.
    """
    data = digest_json([source.sha256 for source in sources])
    return f"{Path(preset).stem}-{data[:8]}-{flow_run.hex[-6:]}"


def name_run(preset: str, requests: Iterable[Request]) -> None:
    """Name the current flow run, whose stage ``ingest`` has these requests."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    sources = [artifact for request in requests for artifact in request.artifacts]
    name = run_name(preset, sources, context.flow_run.id)
    with attempt("the run's name"), get_client(sync_client=True) as client:
        client.set_flow_run_name(context.flow_run.id, name)
