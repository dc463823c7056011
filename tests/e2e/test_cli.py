"""The command line as a user runs it."""

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from flows.steps import STAGE_NAMES
from tests.support.reviews import good_lines, write_bz2
from tests.support.runs import TINY
from tests.support.servers import result_of, run_sentiment

SETTINGS = [option for setting in TINY for option in ("--set", setting)]


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cli") / "storage"


def test_a_run_without_any_service(storage: Path) -> None:
    """The preset `sample`, made tiny, on Prefect's ephemeral server."""
    process = run_sentiment("run", *SETTINGS, "--json", "--storage", str(storage))
    result = result_of(process)
    assert result["rows"] == 420
    assert result["rejected"] == 0
    assert result["vocabulary_size"] > 50
    low, high = result["accuracy_interval"]
    assert 0 <= low < result["accuracy"] < high <= 1
    assert result["loss"] > 0
    assert [stage["stage"] for stage in result["stages"]] == list(STAGE_NAMES)
    assert all(re.fullmatch("[0-9a-f]{64}", stage["digest"]) for stage in result["stages"])
    assert {"model.safetensors", "config.json", "vocabulary.parquet", "history.parquet"} <= {
        path.name for path in Path(result["model"]).iterdir()
    }
    assert "Generated reviews" in Path(result["report"]).read_text()
    assert "tokenize   to run: first run" in process.stderr


def test_the_rerun_is_cached_and_shows_a_table(storage: Path) -> None:
    process = run_sentiment("run", *SETTINGS, SENTIMENT_STORAGE=str(storage))
    assert process.returncode == 0, process.stderr
    assert process.stderr.count("cached") >= 10
    assert "starting Prefect" not in process.stderr
    assert "0 run, 10 cached" in process.stdout
    assert "Generated reviews" in process.stdout
    assert re.search(r"test accuracy .*95 % interval", process.stdout)


def test_a_failed_gate_shows_all_and_how_to_accept_the_model(
    storage: Path, server: dict[str, str]
) -> None:
    arguments = ["run", *SETTINGS, "--set", "promote.min_accuracy=1"]
    environment = {"SENTIMENT_STORAGE": str(storage), **server}
    process = run_sentiment(*arguments, **environment)
    assert process.returncode == 1
    assert re.search(r"test accuracy .*MCC", process.stdout)
    assert re.search(r"linear baseline .*MCC", process.stdout)
    assert re.search(r"verdict .*refused: accuracy .* is below 1", process.stdout)
    assert all(line == line.rstrip() for line in process.stdout.splitlines())
    *_, error, command = process.stderr.strip().splitlines()
    assert error.startswith("Error: Gate promote.min_accuracy: accuracy 0.")
    program, *pasted = shlex.split(command)
    assert program == "sentiment"
    accepted = run_sentiment(*pasted, **environment)
    assert accepted.returncode == 0, accepted.stderr
    assert "9 cached" in accepted.stdout or "10 cached" in accepted.stdout


def test_plan_is_quick_to_say_what_would_run(storage: Path) -> None:
    result = result_of(
        run_sentiment(
            "plan", *SETTINGS, "--set", "train.epochs=2", "--json", "--storage", str(storage)
        )
    )
    states = {stage["stage"]: stage["state"] for stage in result["stages"]}
    assert states["tensors"] == "cached"
    assert (states["train"], states["evaluate"]) == ("run", "maybe")
    (reason,) = (stage["reason"] for stage in result["stages"] if stage["stage"] == "train")
    assert "setting train.epochs 1 -> 2" in reason


@pytest.mark.parametrize(
    ("command", "absent"),
    [
        ("predict", "prefect"),
        ("plan", "prefect"),
        ("plan", "torch"),
        ("run", "prefect"),
        ("run", "torch"),
    ],
)
def test_a_command_loads_only_what_it_needs(storage: Path, command: str, absent: str) -> None:
    arguments = ["good"] if command == "predict" else SETTINGS
    # A run with nothing new too: it needs neither.
    process = run_sentiment(command, *arguments, "--storage", str(storage), PYTHONVERBOSE="1")
    assert process.returncode == 0
    assert not re.search(rf"^import '{absent}'", process.stderr, re.MULTILINE)


def test_predict_from_arguments_and_lines(storage: Path) -> None:
    texts = ["not good at all", "could not be better", "Ünïcode ☃"]
    plain = run_sentiment("predict", *texts, "--storage", str(storage))
    lines = run_sentiment("predict", "--storage", str(storage), stdin="\n".join(texts) + "\n")
    assert plain.returncode == 0
    assert plain.stdout == lines.stdout
    assert re.fullmatch(r"((negative|positive)  P\(positive\) [01]\.\d{3}  .+\n){3}", plain.stdout)
    as_json = run_sentiment("predict", "--json", *texts, "--storage", str(storage))
    entries = [json.loads(line) for line in as_json.stdout.splitlines()]
    assert [entry["text"] for entry in entries] == texts
    for entry in entries:
        assert entry["label"] == ("positive" if entry["probability"] >= 0.5 else "negative")


def test_an_empty_line_keeps_its_place(storage: Path) -> None:
    process = run_sentiment("predict", "--json", "--storage", str(storage), stdin="good\n\nbad\n")
    entries = [json.loads(line) for line in process.stdout.splitlines()]
    assert [entry["label"] is None for entry in entries] == [False, True, False]
    assert "No prediction for 1 empty text." in process.stderr


def test_gc_frees_nothing_in_use(storage: Path) -> None:
    result = result_of(run_sentiment("gc", "--dry-run", "--json", "--storage", str(storage)))
    assert [entry for entry in result["freed"] if entry["path"].startswith("train/")] == []


def test_sample_writes_the_kaggle_format(tmp_path: Path) -> None:
    arguments = ["sample", str(tmp_path / "a"), "--train", "50", "--test", "10", "--seed", "3"]
    process = run_sentiment(*arguments)
    assert process.returncode == 0, process.stderr
    assert "50 generated reviews" in process.stdout
    run_sentiment("sample", str(tmp_path / "b"), *arguments[2:])
    for name in ("train.ft.txt.bz2", "test.ft.txt.bz2"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_doctor(tmp_path: Path) -> None:
    checks = json.loads(run_sentiment("doctor", "--json", "--storage", str(tmp_path)).stdout)
    assert all(check["ok"] for check in checks)
    assert {"torch", "nltk data", "device", "storage"} <= {check["name"] for check in checks}
    unreachable = run_sentiment(
        "doctor", "--storage", str(tmp_path), PREFECT_API_URL="http://127.0.0.1:9/api"
    )
    assert unreachable.returncode == 1
    assert "does not answer" in unreachable.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--preset", "smple"], "did you mean sample?"),
        (["run", "--set", "train.epoch=1"], "train.epoch: unknown key (did you mean epochs?)"),
        (["run", "--preset", "balanced"], "name their folder with --data"),
        (["run", "--data", "nowhere"], "no such file or folder"),
        (["run", "--only", "train", "--until", "train"], "leave out --from and --until"),
        (["plan", "--until", "trian"], "There is no stage 'trian'"),
        (["predict", "good", "--model", "nowhere"], "not a model bundle"),
        (["predict", "good"], "Train one with `sentiment run`"),
    ],
)
def test_errors_are_one_message_without_a_traceback(
    tmp_path: Path, server: dict[str, str], arguments: list[str], message: str
) -> None:
    process = run_sentiment(*arguments, SENTIMENT_STORAGE=str(tmp_path / "storage"), **server)
    assert process.returncode == 1
    assert message in process.stderr
    assert "Traceback" not in process.stderr
    assert process.stdout == ""


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    process = run_sentiment("--debug", "run", "--preset", "none", "--storage", str(tmp_path))
    assert process.returncode == 1
    assert "Traceback" in process.stderr


def test_bad_input_stops_the_run_before_training(tmp_path: Path, server: dict[str, str]) -> None:
    write_bz2(tmp_path / "data" / "train.ft.txt.bz2", [*good_lines(20), b"__label__3 odd"])
    process = run_sentiment(
        "run", *SETTINGS, "--data", str(tmp_path / "data"),
        SENTIMENT_STORAGE=str(tmp_path / "storage"), **server,
    )  # fmt: skip
    assert process.returncode == 1
    assert "1 of 21 lines rejected" in process.stderr
    assert "unknown label: 1" in process.stderr
    assert "rejects.parquet" in process.stderr
    assert not (tmp_path / "storage" / "train").exists()


def test_the_installed_command_is_this_one() -> None:
    assert (Path(sys.executable).parent / "sentiment").exists()
