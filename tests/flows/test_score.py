"""`sentiment score` and the flow `score`: the same function with different output."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import typer.main
from rich.console import Console

from flows.cli.main import app, main
from flows.cli.options import table_overrides
from flows.config.presets import load_config, score_config
from flows.ui.reporters import LineReporter, reporting
from flows.ui.score_summary import score_rows, scores_markdown, scores_table, warnings_of
from sentiment.errors import ConfigError
from sentiment.scoring.inputs import ScoreConfig
from tasks.run.config import PipelineConfig
from tasks.run.spec import RunSpec
from tasks.store import Store
from tests.support.reviews import good_lines, write_bz2, write_small_data
from tests.support.runs import run_plainly


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, tiny_config: PipelineConfig) -> Path:
    """A bundle trained on 60 reviews."""
    root = tmp_path_factory.mktemp("model")
    spec = RunSpec("sample", tiny_config, write_small_data(root / "data"), Store(root / "storage"))
    (manifest,) = run_plainly(spec, until="train")["train"]
    return spec.store.root / "train" / manifest.key


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_bz2(tmp_path / "new.ft.txt.bz2", [*good_lines(30, start=500), b""])


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    try:
        main(["score", *map(str, arguments)])
    except SystemExit as end:
        return int(end.code or 0), *capsys.readouterr()
    raise AssertionError("a command ends with a status")


def test_the_command_prints_one_json_document(
    capsys: pytest.CaptureFixture[str], source: Path, model: Path, tmp_path: Path
) -> None:
    status, stdout, _ = run(
        capsys, source, "--out", tmp_path / "out", "--model", model, "--with-text", "--json"
    )
    assert status == 0
    summary = json.loads(stdout)
    assert (summary["rows"], summary["scored"], summary["bad_rows"]) == (31, 30, 1)
    assert summary["metrics"]["rows"] == 30
    written = json.loads((tmp_path / "out" / "_scores.json").read_text())
    assert written == {name: summary[name] for name in written}
    assert summary.keys() - written.keys() == {"seconds", "rows_per_second"}
    assert "text" in pq.read_table(tmp_path / "out" / source.name).column_names


def test_the_command_shows_a_table_and_warns(
    capsys: pytest.CaptureFixture[str], model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "strange.csv"
    path.write_text("id,note\n" + "1,\n2,Ganz wundervoll\n" * 40)
    status, stdout, stderr = run(
        capsys, path, "--out", tmp_path / "out", "--model", model, "--column", "note",
        "--set", "drift.label_share=1", "--set", "chunk_size=9", "--set", "max_bad_rate=0.5",
    )  # fmt: skip
    assert status == 0
    assert "empty text: 40" in stdout
    assert "drift: lengths" in stdout
    assert stderr.count("Warning:") == 3
    assert "fewer than half of the words of 40 rows" in stderr
    assert len(list((tmp_path / "out" / "strange.csv").glob("part-*"))) == 9


@pytest.mark.parametrize(
    "options, message",
    [
        (["--set", "chunk_size=0"], "chunk_size"),
        (["--set", "drift.lenght_psi=1"], "did you mean length_psi?"),
        (["--column", "text"], "has lines and no columns"),
        (["--model", "nowhere"], "not a model bundle"),
    ],
)
def test_an_error_is_one_message_and_status_1(
    capsys: pytest.CaptureFixture[str],
    source: Path,
    model: Path,
    tmp_path: Path,
    options: list[str],
    message: str,
) -> None:
    status, stdout, stderr = run(
        capsys, source, "--out", tmp_path / "out", "--model", model, *options
    )
    assert (status, stdout) == (1, "")
    assert message in stderr


def test_too_many_bad_rows_end_with_status_1_and_keep_the_scores(
    capsys: pytest.CaptureFixture[str], model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "new.csv"
    path.write_bytes(b"id;review\na;lovely, lovely lamp\nb;caf\xe9\nc;\n")
    arguments = [path, "--out", tmp_path / "out", "--model", model, "--keep", "id"]
    status, stdout, stderr = run(capsys, *arguments, "--format", "jsonl")
    assert status == 1
    assert "bad rows" in stdout and "Written to" in stdout
    assert "new.csv: 2 of 3 rows have no score (66.67%)" in stderr
    (part,) = (tmp_path / "out" / "new.csv").glob("part-*.jsonl")
    rows = [json.loads(line) for line in part.read_text().splitlines()]
    assert [(row["id"], row["reason"]) for row in rows] == [
        ("a", None), ("b", "invalid UTF-8"), ("c", "empty text")
    ]  # fmt: skip
    options = ["--format", "jsonl", "--set", "max_bad_rate=0.7", "--json"]
    status, stdout, _ = run(capsys, *arguments, *options)
    assert (status, json.loads(stdout)["bad_rows"]) == (0, 2)
    assert run(capsys, *arguments, "--encoding", "latin-1", "--force")[0] == 1
    assert run(capsys, *arguments, "--format", "xml")[0] == 1


@pytest.mark.parametrize("command", ["run", "plan", "tune", "score"])
def test_every_command_that_reads_tables_has_the_same_options(command: str) -> None:
    group = typer.main.get_command(app)
    parameters = group.commands[command].params  # type: ignore[attr-defined]
    options = {name: p.help for p in parameters for name in p.opts if hasattr(p, "help")}
    for name in ("--column", "--label-column", "--separator", "--encoding"):
        assert options[name]


def test_the_options_of_tables_are_settings_of_ingest() -> None:
    options = table_overrides("ingest.", ["a, b", 'c"'], "stars", "\t", "utf-16")
    ingest = load_config("sample", options).ingest
    assert (ingest.columns, ingest.label_column) == (("a, b", 'c"'), "stars")
    assert (ingest.separator, ingest.encoding) == ("\t", "utf-16")


def test_settings_come_from_options() -> None:
    options = table_overrides("", ["a", "b"], "stars", ";", "latin-1")
    config = score_config([*options, "labels={negative: 1, positive: 5}", "drift.length_psi=0.3"])
    assert (config.columns, config.label_column) == (("a", "b"), "stars")
    assert (config.separator, config.encoding) == (";", "iso8859-1")
    assert config.labels.meanings().items() >= {"1": 0, "5": 1}.items()
    assert config.drift.length_psi == 0.3
    assert score_config(table_overrides("", None, None, None, None)) == ScoreConfig()


def test_all_errors_are_listed_at_once() -> None:
    with pytest.raises(ConfigError, match=r"has 2 errors:\n  threshold.*\n  chunk_size"):
        score_config(["chunk_size=0", "threshold=2"])


SUMMARY: dict[str, Any] = {
    "model": "storage/models/latest",
    "rows": 3, "scored": 2, "bad_rows": 1, "bad_rows_by_reason": {"null": 1},
    "positive": 1, "positive_share": 0.5, "other_labels": 0, "labels_found": {}, "labels": {},
    "barely_known": 0,
    "exited": 0,
    "metrics": None, "drift": None,
    "files": [{
        "input": "a.csv", "rows": 3, "bad_rows": 1, "bad_rows_by_reason": {"null": 1},
        "positive_share": None,
    }],
    "generated": False, "seconds": 0.5, "rows_per_second": 6,
}  # fmt: skip


def test_a_summary_without_a_profile_says_so() -> None:
    assert ("drift", "not available") in list(score_rows(SUMMARY))
    metrics = dict(rows=2, accuracy=0.5, accuracy_interval=[0.1, 0.9], loss=1.0)
    measured = {**SUMMARY, "metrics": {**metrics, "precision": None, "recall": 0.0, "f1": 0.0}}
    assert ("precision", "undefined") in list(score_rows(measured))
    assert warnings_of(SUMMARY) == []
    (barely,) = warnings_of({**SUMMARY, "scored": 100, "barely_known": 6})
    assert "fewer than half of the words of 6 rows" in barely
    assert warnings_of({**SUMMARY, "scored": 100, "barely_known": 5}) == []
    (warning,) = warnings_of({**SUMMARY, "other_labels": 3, "labels_found": {"1": 4, "2": 3}})
    assert warning.startswith("3 rows have a label")
    assert "'1' (4), '2' (3)" in warning
    assert "--set 'labels={negative: [1], positive: [2]}'" in warning
    mine = {
        "labels": {"negative": [1], "positive": [0]},
        "labels_found": {"0": 90, "1": 200, "2": 1},
    }
    (warning,) = warnings_of({**SUMMARY, "other_labels": 1, **mine})
    assert warning.endswith("--set 'labels={negative: [1], positive: [0], ignore: [2]}'")
    stars = {f"__label__{n}": 9 for n in range(1, 6)}
    (warning,) = warnings_of({**SUMMARY, "other_labels": 27, "labels_found": stars})
    assert warning.endswith("--set 'labels={negative: [1, 2], positive: [4, 5], ignore: [3]}'")
    (warning,) = warnings_of({**SUMMARY, "other_labels": 1, "labels_found": {"meh": 1}})
    assert warning.startswith("1 row has a label")
    (warning,) = warnings_of({**SUMMARY, "generated": True})
    assert warning.startswith("this model was trained on generated reviews")
    assert scores_table(SUMMARY).row_count == len(list(score_rows(SUMMARY)))
    assert "| `a.csv` | 3 | 1 (null: 1) |  |" in scores_markdown(SUMMARY)


def test_the_speed_is_that_of_this_call() -> None:
    assert ("speed", "6 rows/s, 0.5 s") in list(score_rows(SUMMARY))
    slow = {**SUMMARY, "rows_per_second": 0.04}
    assert ("speed", "0.04 rows/s, 0.5 s") in list(score_rows(slow))
    done = {**SUMMARY, "rows_per_second": 0}
    assert ("speed", "nothing was left to score") in list(score_rows(done))


def test_progress_is_reported_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.ui.reporters.LINE_EVERY", 0.0)
    console = Console(record=True, quiet=False, file=None, width=80)
    with console.capture() as captured, reporting(LineReporter(console), "score") as progress:
        progress(0)
        progress(1_500)
    (line,) = captured.get().splitlines()
    assert line.startswith("score      1,500 reviews, ")


def test_the_flow_scores_publishes_and_warns(
    prefect_server: None, source: Path, model: Path, tmp_path: Path
) -> None:
    from prefect.artifacts import Artifact

    from flows.score import score

    config = ScoreConfig.model_validate({"drift": {"label_share": 0}})
    summary = score(
        files=[str(source)], out=str(tmp_path / "out"), model=str(model), settings=config
    )
    assert (summary["rows"], summary["bad_rows"]) == (31, 1)
    artifact = Artifact.get("scores")
    assert artifact
    assert "| bad rows | 1 (empty text: 1) |" in str(artifact.data)
    assert "**Warning:**" in str(artifact.data)
