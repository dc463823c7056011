"""Scoring killed half-way: the same command resumes, and ends as if undisturbed."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from flows.config.presets import load_config
from tasks.run.spec import RunSpec
from tasks.store import Store
from tests.support.reviews import good_lines, write_bz2, write_small_data
from tests.support.runs import TINY, run_plainly
from tests.support.servers import ROOT, TIMEOUT, command, result_of, run_sentiment

ROWS, CHUNK = 12_000, 500


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("model")
    data = write_small_data(root / "data")
    spec = RunSpec("sample", load_config("sample", TINY), data, Store(root / "storage"))
    (manifest,) = run_plainly(spec, until="train")["train"]
    (spec.store.root / "models").mkdir()
    (spec.store.root / "models" / "latest").symlink_to(spec.store.root / "train" / manifest.key)
    return spec.store.root


def kill_after_parts(arguments: Sequence[str], folder: Path, parts: int) -> None:
    """Start the command, and kill it once the folder holds this many parts."""
    process = subprocess.Popen(
        command(*arguments),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + TIMEOUT
    try:
        while len(list(folder.glob("part-*"))) < parts and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.001)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL, "it came to its end before the signal"


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")
    }


def test_a_killed_run_resumes_with_the_parts_that_are_missing(
    storage: Path, tmp_path: Path
) -> None:
    source = write_bz2(tmp_path / "new.ft.txt.bz2", good_lines(ROWS))
    out = tmp_path / "out"
    arguments = [
        "score", str(source), "--out", str(out), "--storage", str(storage),
        "--set", f"chunk_size={CHUNK}", "--json",
    ]  # fmt: skip
    folder = out / source.name
    for parts in (2, 6):
        kill_after_parts(arguments, folder, parts)
    done = {path: path.stat().st_mtime_ns for path in folder.glob("part-*")}
    assert 6 <= len(done) < ROWS // CHUNK
    assert not (out / "_scores.json").exists()
    summary = result_of(run_sentiment(*arguments, OMP_NUM_THREADS="1"))
    assert summary["rows"] == summary["scored"] == summary["metrics"]["rows"] == ROWS
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert not list(folder.glob(".part-*"))
    undisturbed = [str(tmp_path / "whole") if each == str(out) else each for each in arguments]
    result_of(run_sentiment(*undisturbed, OMP_NUM_THREADS="1"))
    assert contents(folder) == contents(tmp_path / "whole" / source.name)
