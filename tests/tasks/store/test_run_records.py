"""Records of runs: those that cannot be read are skipped."""

import json
from pathlib import Path

import pytest

from tasks.store.run_records import RunRecord, earlier_results, new_run_id, read_runs
from tasks.store.store import RUNS, Store
from tests.support.runs import collect_garbage

GOOD = {"run": "20200101T000000.000000-1", "state": "completed", "stages": {}}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "[" * 100_000,
        json.dumps({"run": "a", "state": "completed"}),
        json.dumps({**GOOD, "stages": "all"}),
        json.dumps({**GOOD, "stages": {"train": "done"}}),
        json.dumps({**GOOD, "stages": {"train": {}}}),
        json.dumps({**GOOD, "stages": {"train": {"results": {"model": 7}}}}),
        json.dumps({**GOOD, "stages": {"train": {"results": {}, "earlier": "a"}}}),
        json.dumps({**GOOD, "run": 7}),
        json.dumps({**GOOD, "state": None}),
    ],
    ids=lambda content: content[:60],
)
def test_a_record_that_is_none_is_passed_over(tmp_path: Path, content: str) -> None:
    store = Store(tmp_path)
    store.prepare()
    damaged = store.root / RUNS / GOOD["run"] / "run.json"
    damaged.parent.mkdir(parents=True)
    damaged.write_text(content)
    record = RunRecord(store, new_run_id())
    record.stage("train", {"model": "0" * 16})
    record.finish("completed")
    assert [run["run"] for run in read_runs(store)] == [record.run_id]
    assert earlier_results(store, "train", {}) == []
    assert {freed.path for freed in collect_garbage(store)} == {f"{RUNS}/{GOOD['run']}"}
