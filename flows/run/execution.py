"""One run of the pipeline: every stage in turn, what follows some of them, and a record."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from flows.config.presets import as_overrides, load_config, set_where
from flows.run.context import RunContext
from flows.run.decision import Selection
from flows.run.quality_gates import WhereSet, check_promotion, check_training
from flows.run.run_report import report_page, report_path, write_run_report
from flows.run.stage import NotCachedError, run_stage
from flows.steps import decide_champion, drive
from flows.ui.reporters import Reporter
from flows.ui.run_summary import RunResult, StageResult, summarise
from flows.ui.webhook import notify
from sentiment.data.quality import language_warning, repeated_warnings, unknown_warnings
from sentiment.errors import GateError, StorageError
from sentiment.evaluation.promotion import Verdict
from sentiment.model.registry import LATEST
from tasks import ingest, sample
from tasks.data_quality import data_quality
from tasks.manifest import Manifest
from tasks.registry.card import put_card, put_first_card
from tasks.registry.champion import is_settled
from tasks.run.spec import RunSpec
from tasks.stage import Request, Stage
from tasks.store import Store
from tasks.store.run_records import RunRecord, new_run_id

UNWRITTEN = "this run leaves no record, report or link there, and can only use what is cached."


def run_pipeline(
    *,
    preset: str,
    overrides: Sequence[str],
    settings: Mapping[str, Any],
    data: str | None,
    storage: str,
    selection: Selection,
    verify: bool,
    reporter: Reporter,
    in_prefect: bool = True,
) -> RunResult:
    """Run the pipeline and return what came of it.

    It runs inside a Prefect flow run. Otherwise (not ``in_prefect``) it raises NotCachedError if
    there is something to compute, or a model to promote.
    """
    about = {"preset": preset, "run": new_run_id(), "storage": storage}
    record = None
    try:
        config = load_config(preset, overrides, settings)
        given = [*as_overrides(settings), *overrides]
        spec = RunSpec(preset, config, data, Store.at(storage), given)
        spec.store.open()
        if not spec.store.writable:
            reporter.note(f"Warning: {spec.store.place()} is read-only: {UNWRITTEN}")
        record = RunRecord(spec.store, about["run"], **spec.about)
        context = RunContext(spec, record, reporter, selection, verify, in_prefect=in_prefect)
        result = Run(context, partial(set_where, preset, overrides, settings)).go()
        record.finish("completed")
    except BaseException as error:
        # Not when somebody stopped the run, nor when another takes over.
        if isinstance(error, Exception) and not isinstance(error, NotCachedError):
            why = f"{type(error).__name__}: {error}"
            notify("failed", {**about, "error": why}, say=reporter.note)
        if record is not None:
            with suppress(StorageError):  # the disk may be what the run failed for
                record.fail(error)
        raise
    promotion = result["promotion"]
    if promotion and promotion["outcome"] == "promoted":
        name = spec.config.promote.champion
        model = {"name": name, "model": result["model"], "accuracy": result["accuracy"]}
        notify("champion", {**about, **model}, say=reporter.note)
    return result


class Run:
    """A run under way: the manifests, results and verdict so far."""

    def __init__(self, context: RunContext, where_set: WhereSet) -> None:
        self.context, self.spec, self.where_set = context, context.spec, where_set
        self.done: dict[str, list[Manifest]] = {}
        self.results: dict[str, StageResult] = {}
        self.verdict: Verdict | None = None
        self.report = report_path(self.spec.store, context.record.run_id)
        self.page: str | None = None  # the report's address

    def go(self) -> RunResult:
        try:
            drive(self.spec, self._run_and_follow, until=self.context.selection.until)
            if self.verdict is not None:
                check_promotion(self.spec, self.done, self.report, self.where_set)
        except GateError as error:
            error.result = self._summary()
            raise
        if all(result.state == "cached" for result in self.results.values()):
            self.context.reporter.note(f"{'run':<11}nothing new: every stage was cached")
        return self._summary()

    def _summary(self) -> RunResult:
        results = list(self.results.values())
        name = self.spec.config.promote.champion
        return summarise(self.spec.store, results, self.done, self.verdict, self.report, name)

    def _run_and_follow(self, stage: Stage, requests: Sequence[Request]) -> list[Manifest]:
        if self.context.in_prefect:
            from flows.ui import artifacts, run_name

            if stage is ingest.STAGE:
                run_name.name_run(self.spec.preset, requests)
        self._run_stage(stage, requests)
        for follow in AFTER.get(stage.name, ()):
            follow(self)
        if self.context.in_prefect:
            artifacts.publish(stage.name, self.spec.store, self.done, self.report, self.page)
        return self.done[stage.name]

    def _run_stage(self, stage: Stage, requests: Sequence[Request]) -> list[Manifest]:
        ended = run_stage(self.context, stage, requests)
        self.done[stage.name] = ended.manifests
        if stage is not sample.STAGE:
            self.results[stage.name] = ended.result
        return ended.manifests

    def first_card(self) -> None:
        """Give the bundle a card without test metrics."""
        if self.spec.store.writable:
            put_first_card(self.spec, self.done["train"][0])

    def link_latest(self) -> None:
        """Make ``models/latest`` a link to the bundle."""
        (trained,) = self.done["train"]
        if self.spec.store.writable:
            self.spec.store.point(LATEST, f"{trained.stage}/{trained.key}")

    def gate_training(self) -> None:
        """Fail the run if the model learned nothing."""
        check_training(self.spec, self.done["train"][0], self.where_set)

    def decide(self) -> None:
        """Carry out the verdict on the model."""
        run, note = self.context.record.run_id, self.context.reporter.note
        (decided,), name = self.done["promote"], self.spec.config.promote.champion
        if not self.context.in_prefect and not is_settled(self.spec.store, decided, name):
            raise NotCachedError("promote")

        def run_again(stage: Stage, requests: Sequence[Request]) -> list[Manifest]:
            note(f"{stage.name:<11}again, since the champion changed in the meantime")
            return self._run_stage(stage, requests)

        self.verdict = decide_champion(self.spec, self.done, run_again, run)
        note(f"{'promote':<11}{self.verdict.reason}")

    def write_report(self) -> None:
        """Write the run's report, and put the model's card into its bundle."""
        if not self.spec.store.writable:
            (reported,) = self.done["report"]
            self.report = self.spec.store.file(reported.output("report.html"))
            return
        run, results = self.context.record.run_id, list(self.results.values())
        write_run_report(self.spec, run, results, self.done)
        put_card(self.spec.store, self.done["train"][0], self.done["report"][0])
        self.page = report_page(run)
        if self.page is not None:
            self.context.reporter.note(f"{'report':<11}{self.page}")

    def warn(self, stage: str, warnings: Iterable[str]) -> None:
        for warning in warnings:
            self.context.reporter.note(f"{stage:<11}Warning: {warning}")

    def warn_of_language(self) -> None:
        """Say if the training reviews do not look English."""
        (built,) = self.done["vocabulary"]
        path = self.spec.store.file(built.output("vocabulary.parquet"))
        self.warn("vocabulary", filter(None, [language_warning(path)]))

    def warn_of_unknown(self) -> None:
        """Say if many words are unknown."""
        splits = data_quality(self.done["ingest"], self.done["tensors"])["splits"]
        self.warn("tensors", unknown_warnings(splits))

    def warn_of_repeated(self) -> None:
        """Say if many reviews are duplicates."""
        (counted,) = self.done["duplicates"]
        self.warn("duplicates", repeated_warnings(counted.stats))


# What follows a stage, whether it ran or was cached. Two things more do, in ``Run``: in Prefect,
# ``artifacts.publish`` after each stage; and ``check_promotion`` (three gates) at the very end.
AFTER: Mapping[str, tuple[Callable[[Run], None], ...]] = {
    "vocabulary": (Run.warn_of_language,),
    "tensors": (Run.warn_of_unknown,),
    "duplicates": (Run.warn_of_repeated,),
    "train": (Run.first_card, Run.link_latest, Run.gate_training),
    "promote": (Run.decide,),
    "report": (Run.write_report,),
}
