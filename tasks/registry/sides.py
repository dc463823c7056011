"""A model found by any of its names: what it was made with, and its evaluations."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sentiment.errors import ModelError
from sentiment.files import read_json
from sentiment.model.bundle_files import CONFIG, SUMS, check_bundle
from sentiment.model.registry import names_in
from tasks.manifest import Manifest
from tasks.registry.champion import MODELS, bundle_of, digest_of, read_registry
from tasks.registry.models import find_model, of_generated
from tasks.run.config import PipelineConfig
from tasks.store.run_records import read_runs
from tasks.store.store import Store

RUN_ID = re.compile(r"\d{8}T[\d.]+(-\d+)?")
CONFIGURED = ("sample", "ingest", "vocabulary", "evaluate")  # stages; train knows the others


@dataclass(frozen=True)
class Side:
    """A model, as far as the storage knows it.

    ``name`` is how it was asked for, ``model`` its path in the storage or its folder. ``run`` is
    the record of the run asked for, or of the newest one that used the model. ``settings`` holds
    the sections that are known. ``evaluated`` are its evaluations, the newest first. ``trained``
    is None of a bundle that is not from this storage.
    """

    name: str
    model: str
    digest: str
    trained: Manifest | None
    run: Mapping[str, Any] | None
    settings: Mapping[str, Any]
    evaluated: Sequence[Manifest] = ()

    @property
    def key(self) -> str:
        return self.model.rpartition("/")[2]


def about(side: Side) -> dict[str, str]:
    """Return what is known of a model besides settings and figures, for readers."""
    trained, run = side.trained, side.run or {}
    facts = {"model": side.key if trained else side.model, "run": str(run.get("run") or "")}
    if trained is not None:
        generated = of_generated(trained, None)
        data = "generated reviews" if generated else str(run.get("data") or "")
        size = sum(artifact.size for artifact in trained.outputs)
        facts |= {
            "trained (UTC)": trained.created[:16].replace("T", " "),
            "preset": str(run.get("preset") or ""),
            "data": data,
            "training": f"{trained.seconds:,.0f} s",
            "size": f"{size / 1e6:,.1f} MB",
        }
    return facts


def find_side(store: Store, name: str) -> Side:
    """Find a model by any of its names; raises ModelError."""
    last = name.rstrip("/").rpartition("/")[2]
    if RUN_ID.fullmatch(last):
        return _of_run(store, name, last)
    path = Path(name)
    if path.is_dir() and (path / SUMS).is_file():
        return _of_folder(store, name, path)
    if name in names_in(store.names(MODELS)):
        champion = read_registry(store, name).champion
        if champion is not None:
            return _of_model(store, name, bundle_of(store, champion.model))
    try:
        found = find_model(store, name)
    except ModelError as error:
        hint = "Or name a run's id, a champion, or a model bundle's folder."
        raise ModelError(f"{error} {hint}") from None
    return _of_model(store, name, bundle_of(store, found.model))


def _of_run(store: Store, name: str, run_id: str) -> Side:
    runs = [run for run in read_runs(store) if run["run"].startswith(run_id)]
    exact = [run for run in runs if run["run"] == run_id] or runs
    if len(exact) != 1:
        problem = f"matches {len(exact)} runs" if exact else "matches no run"
        known = ", ".join(run["run"] for run in exact[:10])
        raise ModelError(
            f"{name!r} {problem} in {store.place('runs')}{f': {known}' if known else ''}. "
            "`sentiment models list` lists the models, which can be compared by their keys."
        )
    (run,) = exact
    for key in run["stages"].get("train", {}).get("results", {}).values():
        if (trained := store.read_all("train", [key]).get(key)) is not None:
            found = _of_model(store, name, trained, run)
            own = run["stages"].get("evaluate", {}).get("results", {}).values()
            measured = [each for each in found.evaluated if each.key in own]
            return replace(found, evaluated=measured or found.evaluated)
    raise ModelError(
        f"The run {run['run']} ({run['state']}) has no model: it trained none, or `sentiment gc` "
        "removed it. `sentiment models list` lists the models."
    )


def _of_folder(store: Store, name: str, path: Path) -> Side:
    digest = check_bundle(path)
    for trained in store.results("train"):
        if digest_of(trained) == digest:
            return _of_model(store, name, trained)
    settings = read_json(path / CONFIG)
    sections = {key: settings[key] for key in PipelineConfig.model_fields if key in settings}
    evaluated = _evaluated(store, digest)
    return Side(name, str(path), digest, None, None, sections, evaluated)


def _of_model(
    store: Store, name: str, trained: Manifest, run: Mapping[str, Any] | None = None
) -> Side:
    if run is None:
        run = next((run for run in read_runs(store) if trained.key in _results(run, "train")), None)
    settings, limits = sections_of(trained), dict[str, int]()
    for stage in CONFIGURED if run else ():
        for manifest in store.read_all(stage, _results(run, stage)).values():
            settings |= sections_of(manifest)
            limits |= _limits(manifest)
    if limits:
        settings["ingest"] = settings["ingest"] | limits
    digest = digest_of(trained)
    model = f"{trained.stage}/{trained.key}"
    return Side(name, model, digest, trained, run, settings, _evaluated(store, digest))


def _results(run: Mapping[str, Any] | None, stage: str) -> list[str]:
    return [*((run or {}).get("stages", {}).get(stage, {}).get("results", {})).values()]


def sections_of(manifest: Manifest) -> dict[str, Any]:
    """Return the settings among what a result was made with."""
    return {k: v for k, v in manifest.config.items() if k in PipelineConfig.model_fields}


def _limits(manifest: Manifest) -> dict[str, int]:
    """Return the limit of a file of reviews, which is not among its settings: see tasks.ingest."""
    limit, split = manifest.config.get("limit"), manifest.config.get("split")
    if limit is None:
        return {}
    return {"train_limit" if split in ("train", "hash") else "test_limit": limit}


def _evaluated(store: Store, digest: str) -> list[Manifest]:
    """Return the evaluations of a model, the newest first."""
    measured = [
        each
        for each in store.results("evaluate")
        if any(file["sha256"] == digest for file in each.inputs["bundle"] if file["name"] == SUMS)
    ]
    return measured[::-1]
