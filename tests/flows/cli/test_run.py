"""What `sentiment run` answers without Prefect: mistakes, and a run with nothing to do."""

import json
import shlex
import shutil
from pathlib import Path

import pytest
import typer.main
from click.testing import Result
from typer.testing import CliRunner

from flows.cli.main import app
from flows.cli.run import same_command
from flows.config.presets import load_config
from flows.run.execution import run_pipeline
from flows.run.stage import NotCachedError
from flows.server.ephemeral import may_name_server
from flows.steps import STAGE_NAMES
from sentiment.errors import DataError, GateError, StageError
from sentiment.model.registry import CHAMPION, LATEST
from tasks.registry.champion import read_registry
from tasks.run.spec import RunSpec
from tasks.store import Store
from tasks.store.run_records import read_runs
from tests.support.reviews import write_small_data
from tests.support.runs import TINY, run_plainly


class PrefectStarted(Exception):
    """The command would start Prefect now."""


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, and the storage of a run of it."""
    folder = tmp_path_factory.mktemp("quick")
    write_small_data(folder / "data")
    config = load_config("sample", TINY)
    run_plainly(RunSpec("sample", config, folder / "data", Store(folder / "storage")))
    return folder


@pytest.fixture
def folder(once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def start() -> None:
        raise PrefectStarted

    monkeypatch.setattr("flows.cli.run.start_server", start)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(once, tmp_path / "copy")
    return tmp_path / "copy"


def run(folder: Path, *words: str) -> Result:
    given = [word for override in TINY for word in ("--set", override)]
    paths = ["--data", str(folder / "data"), "--storage", str(folder / "storage")]
    return CliRunner().invoke(app, ["run", *paths, *given, *words])


def test_a_run_with_nothing_to_do_is_a_run_all_the_same(folder: Path) -> None:
    result = run(folder, "--json")
    assert result.exit_code == 0, result.exception
    answer = json.loads(result.stdout)
    assert [(s["stage"], s["state"]) for s in answer["stages"]] == [
        (name, "cached") for name in STAGE_NAMES
    ]
    store = Store(folder / "storage")
    champion = read_registry(store).champion
    assert champion is not None
    assert answer["model"] == str(store.root / champion.model)
    assert answer["promotion"]["reason"].startswith("is the champion already: ")
    (record,) = read_runs(store)
    assert (record["state"], record["computed"]) == ("completed", False)
    assert record["stages"].keys() == set(STAGE_NAMES)
    assert Path(answer["report"]) == store.root / "runs" / record["run"] / "report.html"
    assert "nothing changed" in Path(answer["report"]).read_text()
    assert (store.root / LATEST).resolve() == store.root / champion.model
    assert not (store.root / "prefect").exists()
    shown = run(folder)
    assert "0 run, 10 cached" in shown.stdout
    assert "nothing new: every stage was cached" in shown.stderr
    assert "0 run, 10 cached" in run(folder, "--verify").stdout


def test_a_gate_fails_a_cached_run_as_any_other(folder: Path) -> None:
    strict = [*TINY, "promote.min_accuracy=1"]
    config = load_config("sample", strict)
    spec = RunSpec("sample", config, folder / "data", Store(folder / "storage"))
    run_plainly(spec)
    result = run(folder, "--set", "promote.min_accuracy=1")
    assert isinstance(result.exception, GateError)
    assert next(read_runs(spec.store))["state"] == "failed"


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["--from", "train", "--set", "vocabulary.min_count=3"], StageError, "--from vocabulary"),
        (["--only", "train", "--storage", "empty"], StageError, "--from ingest --until train"),
        (["--data", "columns.csv"], DataError, "which column holds the text"),
        (["--data", "broken.csv.bz2"], DataError, "broken.csv.bz2"),
        (["--data", "none"], DataError, "no such file or folder"),
    ],
)
def test_mistakes_are_found_before_prefect_starts(
    folder: Path, words: list[str], error: type[Exception], message: str
) -> None:
    Path("columns.csv").write_text("a,b\n1,2\n")
    Path("broken.csv.bz2").write_text("label,text\n")
    result = run(folder, *words)
    assert isinstance(result.exception, error), result.exception
    assert message in str(result.exception)
    assert list(read_runs(Store(folder / "storage"))) == []


def test_where_something_has_to_run_prefect_starts(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for words in (["--set", "train.epochs=2"], ["--force", "report"]):
        assert isinstance(run(folder, *words).exception, PrefectStarted)
    with monkeypatch.context() as patch:
        patch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
        assert isinstance(run(folder).exception, PrefectStarted)
    (folder / "storage" / CHAMPION).unlink()  # the cached verdict would promote the model
    assert isinstance(run(folder).exception, PrefectStarted)
    assert not (folder / "storage" / CHAMPION).exists()


def test_without_prefect_a_run_computes_nothing(folder: Path) -> None:
    """As when a result is removed between the look ahead and the run."""
    from rich.console import Console

    from flows.run.decision import Selection
    from flows.ui.reporters import LineReporter

    shutil.rmtree(folder / "storage" / "report")
    with pytest.raises(NotCachedError):
        run_pipeline(
            preset="sample",
            overrides=TINY,
            settings={},
            data=folder / "data",
            storage=folder / "storage",
            selection=Selection(),
            verify=False,
            reporter=LineReporter(Console(quiet=True)),
            in_prefect=False,
        )
    assert not (folder / "storage" / "report").exists()
    assert next(read_runs(Store(folder / "storage")))["state"] == "failed"


PROFILES = """active = "{active}"
[profiles.ephemeral]
PREFECT_SERVER_ALLOW_EPHEMERAL_MODE = "true"
[profiles.local]
PREFECT_API_URL = "http://127.0.0.1:4200/api"
"""


@pytest.mark.parametrize(
    ("files", "environment", "named"),
    [
        ({}, {}, False),
        ({}, {"PREFECT_API_URL": "http://127.0.0.1:4200/api"}, True),
        ({"home/profiles.toml": PROFILES.format(active="ephemeral")}, {}, False),
        ({"home/profiles.toml": PROFILES.format(active="local")}, {}, True),
        (
            {"home/profiles.toml": PROFILES.format(active="ephemeral")},
            {"PREFECT_PROFILE": "local"},
            True,
        ),
        ({"home/profiles.toml": "active ="}, {}, True),
        ({"prefect.toml": "[api]\nurl = 'http://127.0.0.1:4200/api'"}, {}, True),
        ({"pyproject.toml": "[tool.prefect.api]\nurl = 'http://127.0.0.1/api'"}, {}, True),
        ({"pyproject.toml": "[project]\nname = 'x'"}, {}, False),
        ({".env": "PREFECT_API_URL=http://127.0.0.1:4200/api"}, {}, True),
    ],
)
def test_whether_a_server_may_be_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, str],
    environment: dict[str, str],
    named: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PREFECT_PROFILE", raising=False)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    assert may_name_server() is named


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "--data 'my reviews' --set train.epochs=3 --set 'ingest.labels=[1, 5]'",
        "--preset mine.yaml --from train --until report --verify --json --storage ../there",
    ],
)
def test_the_same_command_with_more_settings(arguments: str) -> None:
    command = typer.main.get_command(app).commands["run"]  # type: ignore[attr-defined]
    given = shlex.split(arguments)
    context = command.make_context("run", [*given, "--force", "train"])
    written = same_command(context, ["promote.min_accuracy=null"])
    program, name, *again = shlex.split(written)
    assert (program, name) == ("sentiment", "run")
    expected = command.make_context("run", [*given, "--set", "promote.min_accuracy=null"]).params
    assert command.make_context("run", again).params == expected
    assert expected["force"] in (None, [], ())


def test_a_setting_of_the_command_is_replaced_and_not_repeated() -> None:
    command = typer.main.get_command(app).commands["run"]  # type: ignore[attr-defined]
    context = command.make_context(
        "run", ["--set", "train.max_loss=0.1", "--set", "train.epochs=2"]
    )
    written = same_command(context, ["train.max_loss=null"])
    assert written == "sentiment run --set train.epochs=2 --set train.max_loss=null"
