"""The command line on S3: two machines, one storage."""

import json
from pathlib import Path

import pytest

from tasks.store.objects import Objects
from tests.support.runs import TINY, ran
from tests.support.s3 import environment, faults
from tests.support.servers import result_of, run_sentiment

SETTINGS = [word for each in TINY for word in ("--set", each)]


@pytest.fixture
def there(url: str, data: Path) -> list[str]:
    """Options for a storage and a copy of the small data under URLs."""
    folder = f"{url}-data"
    for path in data.iterdir():
        Objects(folder).put(path.name, path)
    return ["--storage", url, "--data", folder]


def test_another_machine_finds_everything_and_fetches_no_data(
    s3: str, url: str, there: list[str], tmp_path: Path
) -> None:
    one, other = ({"SENTIMENT_CACHE": str(tmp_path / name)} for name in ("one", "other"))
    first = result_of(run_sentiment("run", *there, *SETTINGS, "--json", **one))
    assert first["model"].startswith(f"{url}/train/")
    assert Path(first["report"]).read_text().startswith("<!")
    with faults(s3) as (address, seen):
        other |= environment(address)
        plan = run_sentiment("plan", *there, *SETTINGS, "--exit-code", **other)
        assert plan.returncode == 0, plan.stdout + plan.stderr
        assert not [path for _, path in seen.requests if path.endswith((".parquet", ".bz2"))]
        second = result_of(run_sentiment("run", *there, *SETTINGS, "--json", **other))
        assert ran(second) == []
        assert [s["digest"] for s in second["stages"]] == [s["digest"] for s in first["stages"]]
        words = "vocabulary.parquet"  # for the warning of another language
        data_files = [path for _, path in seen.requests if path.endswith((".parquet", ".bz2"))]
        assert {path.rpartition("/")[2] for path in data_files} <= {words}
    other |= environment(s3)
    found = json.loads(run_sentiment("models", "list", "--storage", url, "--json", **other).stdout)
    assert [model["champion"] for model in found["models"]] == [True]
    predicted = run_sentiment("predict", "a lovely lamp", "--storage", url, "--json", **other)
    assert json.loads(predicted.stdout)["label"] in ("negative", "positive")
    freed = result_of(run_sentiment("gc", "--cache", "--storage", url, "--json", **other))
    assert freed["bytes"] > 0
    assert not list((tmp_path / "other").glob("*/train/*"))
    nothing = run_sentiment("plan", *there, *SETTINGS, "--exit-code", **other)
    assert nothing.returncode == 0


@pytest.mark.parametrize(
    "command", ["plan", "gc", "models list", "predict hello", "score a --out b"]
)
def test_a_storage_that_cannot_be_is_refused(command: str) -> None:
    process = run_sentiment(*command.split(), "--storage", "ftp://host/storage")
    assert process.returncode == 1
    assert process.stderr == (
        "Error: ftp://: not supported. Use a folder, or a URL of s3://, gs://, az://.\n"
    )


def test_a_cache_is_emptied_whatever_runs_need(tmp_path: Path) -> None:
    for wrong, told in (("--grace=1", "combined with --keep-runs"), ("--dry-run", "has no cache")):
        process = run_sentiment("gc", "--cache", wrong, "--storage", str(tmp_path))
        assert process.returncode == 1
        assert told in process.stderr


def test_no_connection_is_one_line_of_advice() -> None:
    away = environment("http://127.0.0.1:1")
    process = run_sentiment("plan", "--storage", "s3://bucket/storage", **away)
    assert process.returncode == 1
    (line,) = process.stderr.splitlines()
    assert line.startswith("Error: s3://bucket/storage/.sentiment-storage: the storage does not")
    assert "AWS_ENDPOINT_URL" in line
    assert "a-secret" not in line
