"""Requests as JSON values, for other processes and machines, which compute the key again."""

from collections.abc import Mapping
from dataclasses import asdict
from importlib import import_module
from typing import Any

from sentiment.errors import StageError
from sentiment.settings import Settings
from tasks.manifest import Artifact
from tasks.run.config import PipelineConfig
from tasks.stage import Request, Stage
from tasks.store import Store


def to_json(request: Request) -> dict[str, Any]:
    """Return a request as JSON values, with its key."""
    return {
        "stage": request.stage.name,
        "key": request.key,
        "label": request.label,
        "inputs": {
            name: asdict(value) if isinstance(value, Artifact) else [asdict(a) for a in value]
            for name, value in request.inputs.items()
        },
        "settings": {
            name: value.model_dump(mode="json") if isinstance(value, Settings) else value
            for name, value in request.settings.items()
        },
    }


def from_json(content: Mapping[str, Any]) -> Request:
    """Return a request again.

    Raises StageError if it would give another result here: other code, libraries or settings.
    KeyError, TypeError or ValueError (also pydantic's) if the values are not a request's.
    """
    stage: Stage = import_module(f"tasks.{content['stage']}").STAGE
    sections = {n: v for n, v in content["settings"].items() if n in PipelineConfig.model_fields}
    config = PipelineConfig.model_validate(sections)
    settings = content["settings"] | {name: getattr(config, name) for name in sections}
    inputs = {
        name: Artifact(**value)
        if isinstance(value, dict)
        else tuple(Artifact(**artifact) for artifact in value)
        for name, value in content["inputs"].items()
    }
    request = Request(stage, content["label"], inputs, settings)
    if request.key != content["key"]:
        raise StageError(
            f"{stage.name} {request.label}: asked for {content['key']}, but this machine would "
            f"compute {request.key}: its code or the version of a library differs. Use the same "
            "commit and the same versions on all machines, and restart their workers."
        )
    return request


def check_shared(request: Request, store: Store) -> None:
    """Fetch the files of a request from a URL; raise StageError if one is not on this machine."""
    store.bring(request.artifacts)
    for artifact in request.artifacts:
        path = artifact.local(store.root)
        if not path.is_file():
            advice = (
                "Copy it there, at the same path, or name the data by a URL"
                if artifact.stage is None
                else "Share the storage folder with it, at the same path, or use remote storage"
            )
            raise StageError(f"{path} is not on this machine. {advice}: see docs/scale.md.")
