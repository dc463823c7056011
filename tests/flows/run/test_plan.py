"""A plan and a run agree: in the stages, in their states and reasons, and in what they refuse.

The run here is that of ``flows.run.stage`` without Prefect: decide, refuse or build, stage by
stage, with a record.
"""

import json
import re
import shlex
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import typer.main
from click.testing import Result
from rich.console import Console
from typer.testing import CliRunner

from flows.cli.main import app
from flows.cli.options import show
from flows.config.presets import load_config
from flows.run.decision import Selection, decide
from flows.run.plan import Planned, look_ahead, plan_table
from flows.run.request_file import read_request
from flows.steps import STAGE_NAMES, decide_champion, drive
from sentiment.errors import ConfigError, SentimentError, StageError
from tasks import promote, sample
from tasks.manifest import Manifest
from tasks.run.spec import RunSpec
from tasks.stage import Request, Stage
from tasks.store import Store
from tasks.store.run_records import RunRecord, new_run_id
from tests.support.reviews import good_lines, write_bz2, write_small_data
from tests.support.runs import TINY

States = dict[str, tuple[str, str]]  # of stages: state, reason
SMALL = (*TINY, "ingest.shard_size=25", "train.learning_rate=1e-6")


def spec_on(folder: Path, *overrides: str, preset: str = "sample") -> RunSpec:
    given = [*SMALL, *overrides]
    config = load_config(preset, given)
    return RunSpec(preset, config, folder / "data", Store(folder / "storage"), given)


def run(spec: RunSpec, selection: Selection = Selection()) -> States:  # noqa: B008
    """Run as the pipeline does, without Prefect; return what became of each stage."""
    spec.store.prepare()
    record = RunRecord(spec.store, new_run_id(), **spec.about)
    states: States = {}
    done: dict[str, list[Manifest]] = {}

    def work(stage: Stage, requests: Sequence[Request]) -> list[Manifest]:
        force = stage.name in selection.force
        decision = decide(spec, stage, requests, force=force, before=record.run_id)
        if not decision.cached:
            selection.check(spec, stage.name, decision.reason)
        built = [spec.store.build(r, force=force, run=record.run_id) for r in requests]
        state = "completed" if any(one.computed for one in built) else "cached"
        record.stage(stage.name, {r.label: r.key for r in requests}, state=state)
        done[stage.name] = [one.manifest for one in built]
        if stage is not sample.STAGE:
            states[stage.name] = state, decision.reason
        return done[stage.name]

    def answer(stage: Stage, requests: Sequence[Request]) -> list[Manifest]:
        work(stage, requests)
        if stage is promote.STAGE:
            decide_champion(spec, done, work, record.run_id)
        return done[stage.name]

    try:
        drive(spec, answer, until=selection.until)
    except SentimentError:
        record.finish("failed")
        raise
    record.finish("completed")
    return states


def plan(spec: RunSpec, selection: Selection = Selection()) -> States:  # noqa: B008
    return {p.stage: (p.state, p.reason) for p in look_ahead(spec, selection).stages}


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data and the storage of two runs, the second with another threshold."""
    folder = tmp_path_factory.mktemp("planned")
    write_small_data(folder / "data")
    assert run(spec_on(folder)) == dict.fromkeys(STAGE_NAMES, ("completed", "first run"))
    run(spec_on(folder, "evaluate.threshold=0.6"))
    return folder


@pytest.fixture
def folder(once: Path, tmp_path: Path) -> Path:
    shutil.copytree(once, tmp_path / "copy", symlinks=True)
    return tmp_path / "copy"


def no_change(folder: Path) -> None:
    """Change nothing."""


def more_training_reviews(folder: Path) -> None:
    write_bz2(folder / "data" / "train-2.ft.txt.bz2", good_lines(30, start=500))


def other_test_reviews(folder: Path) -> None:
    write_bz2(folder / "data" / "test.ft.txt.bz2", good_lines(30, start=300))


def lost_tensors(folder: Path) -> None:
    shutil.rmtree(folder / "storage" / "tensors")


def damaged_tokens(folder: Path) -> None:
    next((folder / "storage" / "tokenize").rglob("tokens.parquet")).unlink()


def no_champion(folder: Path) -> None:
    (folder / "storage" / "models" / "champion.json").unlink()


CHANGES: tuple[tuple[Callable[[Path], None], tuple[str, ...]], ...] = (
    (no_change, ()),
    (no_change, ("evaluate.threshold=0.7",)),
    (no_change, ("promote.min_gain=0.5",)),
    (no_change, ("vocabulary.min_count=3",)),
    (no_change, ("tokenize.lowercase=false", "train.epochs=2")),
    (no_change, ("ingest.shard_size=20",)),
    (more_training_reviews, ()),
    (more_training_reviews, ("train.seed=3",)),
    (other_test_reviews, ()),
    (other_test_reviews, ("train.seed=3",)),
    (lost_tensors, ()),
    (damaged_tokens, ("promote.min_gain=0.5",)),
    (no_champion, ()),
)
SELECTIONS = (
    Selection(),
    Selection(until="train"),
    Selection(start="train"),
    Selection("evaluate", "evaluate"),
    Selection(start="report"),
    Selection(force=frozenset({"tokenize", "promote"})),
)


def words(reason: str) -> set[str]:
    """Return the reasons that are joined in one, without the share of a stage's shards."""
    return set(reason.rpartition(": ")[2].split("; "))


@pytest.mark.parametrize("change", CHANGES, ids=lambda c: f"{c[0].__name__} {' '.join(c[1])}")
def test_a_plan_is_what_a_run_does(folder: Path, tmp_path: Path, change: object) -> None:
    make, overrides = change  # type: ignore[misc]
    make(folder)
    for number, selection in enumerate(SELECTIONS):
        place = tmp_path / str(number)
        shutil.copytree(folder, place, symlinks=True)
        spec = spec_on(place, *overrides)
        try:
            planned = plan(spec, selection)
        except StageError as refused:
            with pytest.raises(StageError) as caught:
                run(spec, selection)
            assert str(caught.value) == str(refused)
            continue
        ended = run(spec, selection)
        certain = True  # as long as no stage before may change what comes after
        for name, (state, reason) in planned.items():
            if state == "maybe":
                continue
            assert ended[name][0] == {"cached": "cached", "run": "completed"}[state], name
            assert words(reason) <= words(ended[name][1]), name
            if certain:
                assert reason == ended[name][1]
            certain = certain and state == "cached"
        assert ended.keys() <= planned.keys()
        assert {name for name, (state, _) in planned.items() if state != "maybe"} <= ended.keys()
        again = look_ahead(spec, Selection(selection.start, selection.until)).stages
        assert {p.state for p in again} == {"cached"}


def options(spec: RunSpec) -> list[str]:
    given = [word for override in spec.overrides for word in ("--set", override)]
    return ["--data", str(spec.data), "--storage", str(spec.store.root), *given]


def sentiment(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def test_the_command_that_a_refusal_suggests_works(folder: Path) -> None:
    spec = spec_on(folder, "vocabulary.min_count=3")
    refused = sentiment("plan", *options(spec), "--from", "train", "--until", "evaluate")
    assert isinstance(refused.exception, StageError)
    problem, _, command = str(refused.exception).partition("Start at vocabulary instead: ")
    assert problem == (
        "The stage vocabulary is not cached (setting vocabulary.min_count 2 -> 3), and this run "
        "starts at train. "
    )
    program, name, *words = shlex.split(command)
    assert (program, name) == ("sentiment", "run")
    assert words[-4:-2] == ["--until", "evaluate"]
    planned = sentiment("plan", *words, "--json")
    assert planned.exit_code == 0
    assert [p["stage"] for p in json.loads(planned.stdout)["stages"]] == list(STAGE_NAMES[:6])


def test_the_exit_code_of_a_plan_says_whether_something_would_run(folder: Path) -> None:
    for overrides, code in (((), 0), (("promote.min_gain=0.5",), 3)):
        words = options(spec_on(folder, *overrides))
        assert sentiment("plan", *words).exit_code == 0
        assert sentiment("plan", *words, "--exit-code").exit_code == code
        assert sentiment("plan", *words, "--exit-code", "--json").exit_code == code
    assert sentiment("plan", "--preset", "none", "--exit-code").exit_code == 1
    shoes = options(spec_on(folder, "promote.champion=shoes"))  # who has no champion yet
    told = sentiment("plan", *shoes, "--exit-code")
    assert told.exit_code == 3
    assert "The verdict of promote is not carried out yet" in told.stdout


def test_a_verdict_is_explained_by_what_the_user_changed(folder: Path, tmp_path: Path) -> None:
    """Another preset, and other data, were run last: they do not count."""
    preset = tmp_path / "mine.yaml"
    preset.write_text("promote: {min_accuracy: 0.91}\nevaluate: {threshold: 0.7}\n")
    mine = spec_on(folder, preset=str(preset))
    run(mine)
    run(spec_on(folder))
    elsewhere = tmp_path / "elsewhere"
    write_small_data(elsewhere)
    write_bz2(elsewhere / "train.ft.txt.bz2", good_lines(50, start=700))
    run(replace(spec_on(folder), data=elsewhere))
    lower = spec_on(folder, "promote.min_accuracy=0.1", preset=str(preset))
    assert plan(lower)["promote"] == ("run", "setting promote.min_accuracy 0.91 -> 0.1")
    assert run(lower)["promote"] == ("completed", "setting promote.min_accuracy 0.91 -> 0.1")


def test_no_reason_shows_internals(folder: Path) -> None:
    """Of the stages whose requests hold what no preset does."""
    run(spec_on(folder))
    shown = r"setting (promote|evaluate)\.\w+ \S+ -> \S+|\w+'s output changed( and \d more)?"
    for make, overrides in CHANGES:
        place = folder.parent / f"{make.__name__}{len(overrides)}"
        shutil.copytree(folder, place, dirs_exist_ok=True)
        make(place)
        ended = run(spec_on(place, *overrides, "evaluate.mistakes=3"))
        for name in ("promote", "report"):
            _, reason = ended[name]
            for word in words(reason) - {"nothing changed", "the champion changed"}:
                assert re.fullmatch(shown, word), reason


def test_a_change_of_the_kinds_of_files_is_put_into_words(folder: Path) -> None:
    (folder / "data" / "test.ft.txt.bz2").unlink()
    reason = run(spec_on(folder), Selection(until="ingest"))["ingest"][1]
    assert reason == "the set of input files changed"
    limited = run(spec_on(folder, "ingest.train_limit=50"), Selection(until="ingest"))
    assert limited["ingest"][1] == "setting ingest.train_limit (none) -> 50"


def test_a_result_of_older_code_that_lacks_a_file_is_made_again(folder: Path) -> None:
    for path in (folder / "storage" / "evaluate").glob("*/manifest.json"):
        manifest = Manifest.from_json(path.read_text())
        older = tuple(each for each in manifest.outputs if each.name != "suspects.parquet")
        path.write_text(replace(manifest, outputs=older, code={"evaluate.py:x": "0"}).to_json())
    spec = spec_on(folder, "evaluate.mistakes=3")
    planned = {name: state for name, (state, _) in plan(spec).items() if state != "cached"}
    assert planned == {"evaluate": "run", "promote": "maybe", "report": "maybe"}
    assert run(spec)["report"][0] == "completed"


def test_a_result_of_older_code_that_lacks_a_figure_is_made_again(folder: Path) -> None:
    for path in (folder / "storage" / "ingest").glob("*/manifest.json"):
        manifest = Manifest.from_json(path.read_text())
        older = {name: value for name, value in manifest.stats.items() if name != "repeated"}
        path.write_text(replace(manifest, stats=older, code={"ingest.py:x": "0"}).to_json())
    spec = spec_on(folder, "ingest.shard_size=20")
    assert {plan(spec)[name][0] for name in ("ingest", "report")} == {"run", "maybe"}
    assert run(spec)["ingest"][0] == "completed"


def test_a_run_that_starts_at_promote_may_measure_the_champion(folder: Path) -> None:
    """Which is a part of that stage for whoever names stages."""
    spec = spec_on(folder, "train.seed=5")
    run(spec, Selection(until="baseline"))
    run(spec, Selection(until="duplicates"))
    other_test_reviews(folder)
    run(spec, Selection(until="duplicates"))
    assert plan(spec, Selection(start="promote"))["champion"][0] == "run"
    assert run(spec, Selection(start="promote"))["promote"][0] == "completed"


def test_a_stage_that_is_forced_must_be_one_that_the_run_reaches() -> None:
    with pytest.raises(ConfigError, match="train is forced, but comes after the last, tokenize"):
        Selection(until="tokenize", force=frozenset({"train"}))


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_name_is_not_read_as_a_style(
    is_terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Console, "is_terminal", is_terminal)
    show(plan_table([Planned("ingest", "run", "input train[new].csv, a[/x] changed")]))
    assert "input train[new].csv, a[/x] changed" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["plan", "run", "tune"])
def test_empty_data_are_refused(command: str, tmp_path: Path) -> None:
    refused = sentiment(command, "--data", "", "--storage", str(tmp_path))
    assert refused.exit_code == 2
    assert "Is a variable not set?" in refused.stderr


def test_a_plan_writes_the_request_for_training_once_its_inputs_are_there(folder: Path) -> None:
    spec, file = spec_on(folder, "train.seed=9", "train.processes=3"), folder / "request.json"
    words = ("plan", *options(spec), "--train-request", str(file))
    shown = sentiment(*words)
    assert shown.exit_code == 0
    command = shlex.split(shown.stderr.partition("To train: ")[2])
    assert command[:4] == ["torchrun", "--standalone", "--nproc-per-node", "3"]
    asked = typer.main.get_command(app).commands["train-request"]  # type: ignore[attr-defined]
    given = asked.make_context("train-request", command[7:]).params
    assert (given["file"], given["storage"]) == (file, spec.store.place())
    assert read_request(file).settings["train"] == spec.config.train
    assert not (spec.store.root / "train" / read_request(file).key).exists()
    file.unlink()
    for more in (("--until", "vocabulary"), ("--set", "tokenize.urls=keep")):
        refused = sentiment(*words, *more)
        assert isinstance(refused.exception, StageError)
        assert "sentiment run --until tensors" in str(refused.exception)
        assert not file.exists()
