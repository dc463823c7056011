"""One run of the pipeline: look up each stage's results, say what runs and why, keep a record."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from prefect import get_run_logger

from flows.config.presets import load_config, set_where
from flows.run.decision import Decision, Selection, decide
from flows.run.quality_gates import Source, check_promotion, check_training
from flows.run.remote_training import train_remotely
from flows.run.run_report import report_path, write_run_report
from flows.run.stage_timeout import deadline
from flows.run.task_runners import task_runner
from flows.steps import STAGE_NAMES, RunSpec, pipeline_steps
from flows.ui.artifacts import publish
from flows.ui.progress_bars import progress_artifact
from flows.ui.reporters import LogReporter, Reporter, Running, chosen, watch
from flows.ui.run_name import name_run
from flows.ui.run_summary import StageResult, outcome
from flows.ui.webhook import notify
from sentiment.errors import StageError, StorageError
from sentiment.evaluation.promotion import Verdict
from sentiment.model.registry import LATEST
from sentiment.training.checkpoints import Checkpoints
from tasks.manifest import Artifact, Manifest, digest_outputs
from tasks.prefect_task import progress_path, run_requests
from tasks.registry.card import put_card, put_first_card
from tasks.registry.champion import settle
from tasks.stage import Request, Stage
from tasks.store import Store
from tasks.store.run_records import RunRecord, new_run_id


def run_pipeline(
    *,
    preset: str,
    overrides: Sequence[str],
    settings: Mapping[str, Any],
    data: Path | None,
    storage: Path,
    selection: Selection,
    verify: bool,
) -> dict[str, Any]:
    """Run the pipeline inside a Prefect flow run and return what came of it, as a JSON object."""
    reporter = chosen.get() or LogReporter(get_run_logger())
    about = {"preset": preset, "run": new_run_id(), "storage": str(storage)}
    record = None
    try:
        spec = RunSpec(preset, load_config(preset, overrides, settings), data, Store(storage))
        spec.store.prepare()
        record = RunRecord(spec.store, about["run"], preset=preset)
        source = partial(set_where, preset, overrides, settings)
        result = _Run(spec, selection, reporter, record, verify, source).go()
        record.finish("completed")
    except BaseException as error:
        if isinstance(error, Exception):  # and not when somebody stopped the run
            why = f"{type(error).__name__}: {error}"
            notify("failed", {**about, "error": why}, say=reporter.note)
        if record is not None:
            with suppress(StorageError):  # the disk may be what the run failed for
                record.finish("failed")
        raise
    promotion = result["promotion"]
    if promotion and promotion["outcome"] == "promoted":
        model = {name: result[name] for name in ("model", "accuracy")}
        notify("champion", {**about, **model}, say=reporter.note)
    return result


class _Run:
    def __init__(
        self,
        spec: RunSpec,
        selection: Selection,
        reporter: Reporter,
        record: RunRecord,
        verify: bool,
        source: Source,
    ) -> None:
        self._spec, self._selection, self._record = spec, selection, record
        self._reporter, self._verify, self._source = reporter, verify, source
        self._results: dict[str, StageResult] = {}
        self._manifests: dict[str, list[Manifest]] = {}
        self._verdict: Verdict | None = None
        self._report_path = report_path(spec.store, record.run_id)

    def go(self) -> dict[str, Any]:
        steps = pipeline_steps(self._spec)
        stage, requests = next(steps)
        while True:
            if stage.name == "ingest":
                name_run(self._spec.preset, sources_of(requests))
            manifests = self._run_stage(stage, requests)
            self._manifests[stage.name] = manifests
            if stage.name == "report":
                self._report()
            publish(stage.name, self._spec.store, self._manifests, self._report_path)
            if stage.name == "train":
                check_training(self._spec, manifests[0], self._source)
            if stage.name == "promote":
                manifests = self._settle(manifests)
            if manifests and stage.name == self._selection.until:
                break
            try:
                stage, requests = steps.send(manifests)
            except StopIteration:
                break
        if self._verdict is not None:
            check_promotion(self._spec, self._manifests, self._report_path, self._source)
        results = list(self._results.values())
        if all(result.state == "cached" for result in results):
            self._reporter.note(f"{'run':<11}nothing new: every stage was cached")
        return outcome(self._spec.store, results, self._manifests, self._verdict, self._report_path)

    def _settle(self, decided: list[Manifest]) -> list[Manifest]:
        """Promote the model if that was decided; return nothing to have it decided anew."""
        store, (trained,) = self._spec.store, self._manifests["train"]
        self._verdict = settle(store, decided[0], trained, self._record.run_id)
        if self._verdict is None:
            self._reporter.note(f"{'promote':<11}the champion changed meanwhile")
            return []
        self._reporter.note(f"{'promote':<11}{self._verdict.reason}")
        return decided

    def _run_stage(self, stage: Stage, requests: Sequence[Request]) -> list[Manifest]:
        store, name = self._spec.store, stage.name
        force = name in self._selection.force
        # Noted before it is looked up, so that `gc` leaves alone what is about to be used.
        self._record.stage(name, keys_of(requests))
        decision = decide(
            store, stage, requests, force=force, verify=self._verify, before=self._record.run_id
        )
        self._announce(name, decision)
        if not decision.cached and not force:
            self._announce_checkpoints(requests)
        for request, found in zip(requests, decision.found, strict=True):
            if found.damage:
                store.discard(request, verify=self._verify)
        started = time.monotonic()
        run = self._record.run_id
        running = at_work(stage, requests, decision, store.root, run)
        config = self._spec.config.run
        with (
            watch(self._reporter, running),
            progress_artifact(running, wanted=not decision.cached),
            deadline(config.stage_timeout, name),
        ):
            if name == "train" and config.train_on == "gpu-pool" and decision.jobs:
                train_remotely(
                    requests, config, store=store, run=run, force=force, reporter=self._reporter
                )
                force = False  # it is done, and found in the store
            manifests = run_requests(
                stage,
                requests,
                store=store,
                runner=task_runner(config, stage, decision.jobs),
                run=run,
                force=force,
                retries=config.retries,
                retry_delay=config.retry_delay,
            )
        seconds = round(time.monotonic() - started, 2)
        # Another run may have done the work while this one waited for it.
        worked = any(manifest.run == run for manifest in manifests)
        self._finish(stage, requests, manifests, worked, decision.reason, seconds)
        return manifests

    def _announce(self, name: str, decision: Decision) -> None:
        if decision.cached:
            self._reporter.note(f"{name:<11}cached: {decision.reason}")
            return
        if not self._selection.may_run(name):
            raise StageError(
                f"The stage {name} is not cached ({decision.reason}), and this run starts at "
                f"{self._selection.start}. Run it first, with the same options: "
                f"sentiment run --only {name}"
            )
        self._reporter.note(f"{name:<11}to run: {decision.reason}")

    def _announce_checkpoints(self, requests: Sequence[Request]) -> None:
        for request in requests:
            newest = Checkpoints(request.checkpoints(self._spec.store.root), keep=1).newest()
            if newest is not None:
                step = int(newest.stem.removeprefix("step-"))
                name = request.stage.name
                self._reporter.note(f"{name:<11}goes on from the checkpoint of step {step:,}")

    def _finish(
        self,
        stage: Stage,
        requests: Sequence[Request],
        manifests: Sequence[Manifest],
        worked: bool,
        reason: str,
        seconds: float,
    ) -> None:
        state = "completed" if worked else "cached"
        self._record.stage(stage.name, keys_of(requests), state=state, reason=reason)
        if worked:
            self._reporter.note(f"{stage.name:<11}done in {seconds:.1f} s")
        if stage.name in STAGE_NAMES:
            digest = digest_outputs(manifests)
            self._results[stage.name] = StageResult(stage.name, state, reason, seconds, digest)
        if stage.name == "train":
            spec = self._spec
            put_first_card(spec.store, manifests[0], title=spec.title, generated=spec.generated)
            point_to(spec.store, LATEST, spec.store.folder(requests[0]))

    def _report(self) -> None:
        """Write the run's report, and put the model's card into its bundle."""
        spec, results = self._spec, list(self._results.values())
        write_run_report(spec.store, self._record.run_id, spec.preset, results, self._manifests)
        put_card(spec.store, self._manifests["train"][0], self._manifests["report"][0])


def keys_of(requests: Sequence[Request]) -> dict[str, str]:
    """Return the requests' keys by label."""
    return {request.label: request.key for request in requests}


def sources_of(requests: Sequence[Request]) -> list[Artifact]:
    """Return the input files that requests of ``ingest`` read."""
    return [artifact for r in requests if isinstance(artifact := r.inputs["source"], Artifact)]


def at_work(
    stage: Stage, requests: Sequence[Request], decision: Decision, root: Path, run: str
) -> Running:
    """Return what is to be watched of a stage that begins: its requests that are not cached."""
    forced = decision.jobs == len(requests)
    found = zip(requests, decision.found, strict=True)
    busy = [request for request, one in found if forced or one.manifest is None]
    files = [progress_path(root, run, request) for request in busy]
    sizes = [sum(artifact.size for artifact in request.artifacts) for request in busy]
    return Running(stage.name, files, expected_rows(stage, busy), time.monotonic(), sizes)


def expected_rows(stage: Stage, requests: Sequence[Request]) -> int | None:
    """Return how many reviews a mapped stage has before it, None where that is unknown."""
    if not stage.mapped:
        return None
    rows = [
        value.rows
        for request in requests
        for value in request.inputs.values()
        if not isinstance(value, tuple) and value.name != "vocabulary.parquet"
    ]
    return sum(row or 0 for row in rows) or None


def point_to(store: Store, name: str, folder: Path) -> None:
    """Make ``<root>/<name>`` a relative link to a folder of the store, in one step."""
    link = store.root / name
    link.parent.mkdir(parents=True, exist_ok=True)
    fresh = link.with_name(f".{link.name}-{new_run_id()}")
    fresh.symlink_to(Path("..") / folder.relative_to(store.root))
    fresh.replace(link)
