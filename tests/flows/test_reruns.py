"""What runs again after a change: the table of docs/reruns.md, run through Prefect."""

import bz2
import importlib.metadata
import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from flows.config.presets import load_config
from flows.pipeline import evaluate, pipeline, report, tokenize
from flows.run.decision import Selection
from flows.run.plan import look_ahead
from flows.steps import STAGE_NAMES
from flows.ui.reporters import LineReporter, chosen
from sentiment.errors import ConfigError, GateError, StageError, StorageError
from tasks.run.spec import RunSpec
from tasks.store import Store
from tasks.store.place import is_url
from tasks.store.run_records import read_runs
from tests.support.readonly import read_only
from tests.support.reviews import good_lines, write_bz2, write_small_data
from tests.support.runs import TINY, ran
from tests.support.s3 import upload

pytestmark = pytest.mark.usefixtures("prefect_server")

OVERRIDES = [*TINY, "ingest.shard_size=25"]
KINDS = (".parquet", ".safetensors", ".html")
Result = dict[str, Any]
Run = Callable[..., Result]


# The tests with this mark run on a folder, and on S3 as a machine whose cache is empty.
anywhere = pytest.mark.parametrize("storage", ["folder", "s3"], indirect=True)


@pytest.fixture
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str | Path:
    if getattr(request, "param", "folder") == "s3":
        url: str = request.getfixturevalue("url")
        return url
    return tmp_path / "storage"


@pytest.fixture(scope="session")
def first_run(
    prefect_server: None, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], Path]:
    """Run the pipeline once for all tests; return its result and its storage, to be copied."""
    folder = tmp_path_factory.mktemp("first")
    write_small_data(folder / "data")
    result = pipeline(
        preset="sample",
        data=str(folder / "data"),
        storage=str(folder / "storage"),
        overrides=OVERRIDES,
    )
    return result, folder / "storage"


@pytest.fixture
def first(first_run: tuple[dict[str, Any], Path], storage: str | Path) -> dict[str, Any]:
    """Begin with the storage that a first run left; return that run's result."""
    result, left = first_run
    if is_url(storage):
        upload(Store(left), str(storage))
    else:
        shutil.copytree(left, storage, symlinks=True)
    return result


@pytest.fixture
def run(data: Path, storage: str | Path) -> Run:
    """Return a function that runs the pipeline, or another flow, on the small data."""

    def run(
        *overrides: str, flow: Any = pipeline, storage: str | Path = storage, **options: Any
    ) -> dict[str, Any]:
        result: dict[str, Any] = flow(
            preset="sample",
            data=str(data),
            storage=str(storage),
            overrides=[*OVERRIDES, *overrides],
            **options,
        )
        return result

    return run


def digests(result: dict[str, Any]) -> dict[str, str]:
    return {stage["stage"]: stage["digest"] for stage in result["stages"]}


def reason(result: dict[str, Any], name: str) -> str:
    return next(str(s["reason"]) for s in result["stages"] if s["stage"] == name)


def states_in_prefect() -> list[str]:
    """Return the names of the states of the newest flow run's tasks."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
    from prefect.client.schemas.sorting import FlowRunSort

    with get_client(sync_client=True) as client:
        (flow_run,) = client.read_flow_runs(sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=1)
        tasks = client.read_task_runs(
            flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run.id]))
        )
        return [str(task.state_name) for task in tasks]


def test_nothing_changed(run: Run, first: Result) -> None:
    assert ran(first) == list(STAGE_NAMES)
    second = run()
    assert ran(second) == []
    assert digests(second) == digests(first)
    assert second["accuracy"] == first["accuracy"]
    assert (first["promotion"]["outcome"], second["promotion"]["outcome"]) == (
        "promoted",
        "champion",
    )
    assert "is the champion already" in second["promotion"]["reason"]
    for result in (first, second):
        assert result["promotion"]["champion"] == result["model"]
        assert result["promotion"]["compared_with"] is None
    states = wait_for_states()
    assert set(states) == {"Cached"}


@pytest.mark.parametrize("storage", ["s3"], indirect=True)
def test_on_another_machine_nothing_changed(run: Run, first: Result, storage: str) -> None:
    """All that it knows of the first machine is in the remote storage. So is the model."""
    second = run()
    assert ran(second) == []
    assert digests(second) == digests(first)
    assert second["model"] == f"{storage}/train/{Path(first['model']).name}"
    assert second["promotion"]["champion"] == second["model"]
    third = run("train.epochs=2")
    assert ran(third) == ["train", "evaluate", "promote", "report"]
    assert reason(third, "train") == "setting train.epochs 1 -> 2"
    assert run(verify=True)["stages"][0]["state"] == "cached"


def wait_for_states(tries: int = 40) -> list[str]:
    """Return the task states once the server has taken in all events of the run."""
    import time

    for _ in range(tries):
        states = states_in_prefect()
        if len(states) >= len(STAGE_NAMES) and not {"Pending", "Running"} & set(states):
            return states
        time.sleep(0.25)
    raise AssertionError(f"the server shows {states}")


@pytest.mark.parametrize(
    ("override", "stages", "named"),
    [
        (
            "train.epochs=2",
            ["train", "evaluate", "promote", "report"],
            "setting train.epochs 1 -> 2",
        ),
        (
            "evaluate.threshold=0.6",
            ["evaluate", "promote", "report"],
            "setting evaluate.threshold (none) -> 0.6",
        ),
        (
            "vocabulary.min_count=1",
            ["vocabulary", "tensors", "train", "evaluate", "baseline", "promote", "report"],
            "setting vocabulary.min_count 2 -> 1",
        ),
        (
            "promote.min_gain=0.5",
            ["promote", "report"],
            "setting promote.min_gain 0.0 -> 0.5; the champion changed",
        ),
        ("train.max_loss=5.0", [], ""),
        ("run.workers=1", [], ""),
        ("run.runner=processes", [], ""),
        ("sample.train=999", [], ""),
    ],
)
def test_a_changed_setting(
    run: Run, first: Result, override: str, stages: list[str], named: str
) -> None:
    after = run(override)
    assert ran(after) == stages
    if stages:
        assert reason(after, stages[0]) == named


@anywhere
def test_a_setting_that_changes_no_byte_stops_early(run: Run, first: Result) -> None:
    # No review holds a URL, so both rules yield the same tokens, and the vocabulary stays.
    after = run("tokenize.urls=keep", until="tensors")
    assert ran(after) == ["tokenize"]


def test_a_line_more_redoes_the_last_shard_only(
    run: Run, first: Result, data: Path, storage: Path
) -> None:
    before = {path.name for path in (storage / "tokenize").iterdir()}
    write_bz2(data / "train.ft.txt.bz2", good_lines(61))
    after = run()
    assert ran(after)[:2] == ["ingest", "tokenize"]
    assert reason(after, "ingest") == "1 of 2 files: input train.ft.txt.bz2 changed"
    assert reason(after, "tokenize") == "1 of 5 shards: ingest's output changed"
    assert len({path.name for path in (storage / "tokenize").iterdir()} - before) == 1


@anywhere
def test_a_new_file_leaves_the_others_alone(run: Run, first: Result, data: Path) -> None:
    write_bz2(data / "train-2.ft.txt.bz2", good_lines(30, start=500))
    after = run(until="tokenize")
    assert reason(after, "ingest") == "1 of 3 files: first run"
    assert reason(after, "tokenize") == "2 of 7 shards: first run"


@anywhere
def test_the_same_reviews_compressed_again_stop_after_ingest(
    run: Run, first: Result, data: Path
) -> None:
    path = data / "train.ft.txt.bz2"
    path.write_bytes(bz2.compress(bz2.decompress(path.read_bytes()), compresslevel=1) + b"")
    content = bz2.decompress(path.read_bytes())
    path.write_bytes(bz2.compress(content[:100]) + bz2.compress(content[100:]))
    assert ran(run()) == ["ingest"]


@pytest.mark.parametrize(
    ("stage", "damage"),
    [(name, ("deleted", "flipped")[place % 2]) for place, name in enumerate(STAGE_NAMES)]
    + [("ingest", "flipped"), ("train", "deleted")],
)
def test_a_damaged_intermediate_is_redone_and_nothing_after_it(
    run: Run, first: Result, storage: Path, stage: str, damage: str
) -> None:
    folder = next((storage / stage).iterdir())
    path = next(
        p for p in sorted(folder.iterdir()) if p.suffix in KINDS or p.stem in ("promotion", stage)
    )
    if damage == "deleted":
        path.unlink()
    else:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    after = run()
    assert ran(after) == [stage]
    assert path.name in reason(after, stage)
    assert digests(after) == digests(first)


def test_the_bundle_gets_the_card_that_the_report_wrote(
    run: Run, first: Result, storage: Path
) -> None:
    card = Path(first["model"], "README.md").read_text()
    assert card in [path.read_text() for path in storage.glob("report/*/README.md")]
    assert f"{first['accuracy']:.1%}"[:-1] in card.replace(" ", "")
    run(until="train")
    assert Path(first["model"], "README.md").read_text() == card


def test_a_bundle_that_was_not_evaluated_has_a_card_that_says_so(run: Run) -> None:
    trained = run(until="train")
    card = Path(trained["model"], "README.md")
    assert "Not evaluated on test reviews yet" in card.read_text()
    assert "> **Note:** Generated" not in card.read_text()
    assert run()["model"] == trained["model"]
    assert "Not evaluated" not in card.read_text()


def test_verify_finds_a_flip_that_kept_its_time(run: Run, first: Result, storage: Path) -> None:
    import os

    path = next((storage / "tokenize").rglob("tokens.parquet"))
    stat = path.stat()
    content = bytearray(path.read_bytes())
    content[10] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert ran(run()) == []
    assert ran(run(verify=True)) == ["tokenize"]
    assert digests(run(verify=True)) == digests(first)


@anywhere
def test_another_nltk(run: Run, first: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    version = importlib.metadata.version
    monkeypatch.setattr(
        "tasks.stage.installed", lambda name: "9.9" if name == "nltk" else version(name)
    )
    after = run()
    assert ran(after) == ["tokenize"]  # the tokens are the same here, so nothing follows
    assert reason(after, "tokenize") == f"nltk {version('nltk')} -> 9.9"


@pytest.mark.parametrize("how", ["moved", "copied"])
def test_storage_at_another_path(
    run: Run, first: Result, storage: Path, tmp_path: Path, how: str
) -> None:
    other = tmp_path / "elsewhere" / "store"
    if how == "moved":
        other.parent.mkdir()
        storage.rename(other)
    else:
        shutil.copytree(storage, other, copy_function=shutil.copyfile, symlinks=True)
        shutil.rmtree(storage)
    after = run(storage=other)
    assert ran(after) == []
    assert digests(after) == digests(first)
    assert after["model"].startswith(str(other))
    assert not storage.exists()


def test_results_do_not_depend_on_the_runner(run: Run, tmp_path: Path) -> None:
    results = [
        digests(run(*options, storage=tmp_path / str(number), until="tensors"))
        for number, options in enumerate(
            [
                ("run.runner=threads", "run.workers=1"),
                ("run.runner=threads", "run.workers=4"),
                ("run.runner=processes", "run.workers=2"),
            ]
        )
    ]
    assert results[0] == results[1] == results[2]


def test_results_do_not_depend_on_dask(run: Run, first: Result, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    result = run("run.runner=dask", "run.workers=2", storage=tmp_path / "dask", until="tensors")
    assert ran(result) == ["ingest", "tokenize", "vocabulary", "tensors"]
    assert digests(result).items() <= digests(first).items()


@anywhere
def test_forced_stages_run_again_and_nothing_after(run: Run, first: Result) -> None:
    after = run(force=["tokenize"])
    assert ran(after) == ["tokenize"]
    assert reason(after, "tokenize") == "forced"
    assert digests(after) == digests(first)


def test_a_gate_fails_a_run_after_its_report(run: Run, first: Result, storage: Path) -> None:
    with pytest.raises(GateError, match=r"is below 1 \(set by an override\).*report\.html"):
        run("promote.min_accuracy=1")
    failed = next(read_runs(Store(storage)))
    assert failed["state"] == "failed"
    assert failed["stages"]["report"]["state"] == "completed"
    with pytest.raises(GateError, match=r"train\.max_loss.*is kept in"):
        run("train.max_loss=0.0001")
    assert "evaluate" not in next(read_runs(Store(storage)))["stages"]


@anywhere
def test_until_stops_early(run: Run) -> None:
    result = run(until="vocabulary")
    assert ran(result) == ["ingest", "tokenize", "vocabulary"]
    assert (result["accuracy"], result["model"], result["report"]) == (None, None, None)
    assert result["vocabulary_size"] > 2


@anywhere
def test_a_stage_alone_takes_its_inputs_from_the_cache(run: Run, first: Result) -> None:
    result = run("evaluate.threshold=0.7", start="evaluate", until="evaluate")
    assert ran(result) == ["evaluate"]
    assert [s["state"] for s in result["stages"]] == ["cached"] * 5 + ["completed"]


@anywhere
def test_a_stage_alone_says_what_to_run_first(run: Run) -> None:
    with pytest.raises(StageError, match=r"stage ingest is not cached.*--from ingest"):
        run(start="vocabulary", until="vocabulary")
    run(until="tokenize")
    with pytest.raises(StageError, match=r"stage tokenize is not cached.*--from tokenize"):
        run("tokenize.lowercase=false", start="vocabulary")


def test_each_stage_has_a_flow_of_its_own(run: Run, first: Result, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="Start at ingest instead"):
        run(flow=tokenize, storage=tmp_path / "empty")
    assert ran(run(flow=tokenize)) == []
    assert ran(run(flow=tokenize, rerun=True)) == ["tokenize"]
    assert ran(run("evaluate.mistakes=3", flow=evaluate)) == ["evaluate"]
    assert ran(run(flow=report, rerun=True)) == ["report"]


@pytest.mark.parametrize(
    "options", [{"until": "tokenise"}, {"force": ["all"]}, {"start": "train", "until": "ingest"}]
)
def test_wrong_stage_names_are_refused(run: Run, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="stage"):
        run(**options)


@pytest.fixture
def plan(data: Path, storage: str | Path) -> Callable[..., dict[str, tuple[str, str]]]:
    """Return a function that plans instead of running."""

    def plan(*overrides: str, **selection: Any) -> dict[str, tuple[str, str]]:
        spec = RunSpec(
            "sample", load_config("sample", [*OVERRIDES, *overrides]), data, Store.at(storage)
        )
        return {
            p.stage: (p.state, p.reason) for p in look_ahead(spec, Selection(**selection)).stages
        }

    return plan


Plan = Callable[..., dict[str, tuple[str, str]]]


@anywhere
def test_plan_of_a_first_run(plan: Plan) -> None:
    assert plan() == dict.fromkeys(STAGE_NAMES, ("run", "first run"))
    assert list(plan(until="tokenize")) == ["ingest", "tokenize"]


@anywhere
def test_plan_says_what_depends_on_what(run: Run, first: Result, plan: Plan) -> None:
    assert {state for state, _ in plan().values()} == {"cached"}
    planned = plan("tokenize.lowercase=false")
    assert planned["ingest"] == ("cached", "nothing changed")
    assert planned["tokenize"] == ("run", "setting tokenize.lowercase True -> False")
    assert planned["vocabulary"] == ("maybe", "if the output of tokenize changes")
    assert planned["tensors"] == ("maybe", "if the output of tokenize or vocabulary changes")
    # The bundle carries the setting, so the model is made again whatever the tokens are.
    assert planned["train"] == ("run", "setting tokenize.lowercase True -> False")
    assert planned["evaluate"] == ("maybe", "if the output of tokenize, tensors or train changes")
    assert plan(force=frozenset({"train"}))["train"] == ("run", "forced")


@anywhere
def test_a_plan_is_what_a_run_then_does(run: Run, first: Result, plan: Plan, data: Path) -> None:
    write_bz2(data / "train-2.ft.txt.bz2", good_lines(30, start=500))
    planned = plan("vocabulary.min_count=1")
    result = run("vocabulary.min_count=1")
    for stage in result["stages"]:
        state, why = planned[stage["stage"]]
        assert (state, stage["state"]) in {
            ("cached", "cached"),
            ("run", "completed"),
            ("maybe", "completed"),
            ("maybe", "cached"),
        }
        if state == "run":
            assert why == stage["reason"]


@pytest.fixture(autouse=True)
def _one_reporter() -> Iterator[None]:
    """Keep the runs of these tests quiet."""
    from rich.console import Console

    from flows.ui.reporters import LineReporter, chosen

    token = chosen.set(LineReporter(Console(quiet=True)))
    yield
    chosen.reset(token)


@pytest.fixture
def notes() -> Iterator[io.StringIO]:
    """What runs report."""
    lines = io.StringIO()
    token = chosen.set(LineReporter(Console(file=lines)))
    yield lines
    chosen.reset(token)


def test_a_storage_that_is_read_only_serves_plans_and_cached_runs(
    first: Result, run: Run, data: Path, storage: Path, notes: io.StringIO
) -> None:
    before = {path: path.read_bytes() for path in storage.rglob("*") if path.is_file()}
    spec = RunSpec("sample", load_config("sample", OVERRIDES), data, Store(storage))
    with read_only(storage):
        spec.store.open()
        assert {planned.state for planned in look_ahead(spec, Selection()).stages} == {"cached"}
        result = run()
        with pytest.raises(StorageError, match=r"Permission denied\). Allow this user to write"):
            run("train.epochs=3")
    assert notes.getvalue().count("Warning: ") == 2  # one in each run
    assert f"Warning: {storage} is read-only: this run leaves no record" in notes.getvalue()
    assert ran(result) == []
    assert digests(result) == digests(first)
    assert Path(result["report"]).read_text().startswith("<!")
    assert {path: path.read_bytes() for path in storage.rglob("*") if path.is_file()} == before
