"""With a real Prefect server: two pipelines at once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.support.reviews import write_small_data
from tests.support.runs import TINY
from tests.support.servers import result_of, run_sentiment

SETTINGS = [option for setting in TINY for option in ("--set", setting)]


def test_two_pipelines_at_once_do_the_work_once(server: dict[str, str], tmp_path: Path) -> None:
    data = write_small_data(tmp_path / "data")

    def run(_: int) -> dict[str, Any]:
        return result_of(
            run_sentiment(
                "run", *SETTINGS, "--data", str(data), "--json",
                SENTIMENT_STORAGE=str(tmp_path / "storage"), **server,
            )
        )  # fmt: skip

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(run, range(2))
    for first, second in zip(one["stages"], other["stages"], strict=True):
        assert first["digest"] == second["digest"]
        states = sorted([first["state"], second["state"]])
        mapped = first["stage"] in ("ingest", "tokenize", "tensors")
        assert states == ["cached", "completed"] or (mapped and states == ["completed"] * 2)
    assert one["accuracy"] == other["accuracy"]
