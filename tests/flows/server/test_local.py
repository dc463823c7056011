"""The server and the workers of `sentiment up`."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flows.server import local
from flows.server.processes import ours
from sentiment.errors import ServiceError


@pytest.fixture
def launched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Workers started by the test, which sleep under a worker's command line."""
    started: list[subprocess.Popen[bytes]] = []
    (tmp_path / "prefect.py").write_text("import time; time.sleep(300)")

    def launch(arguments: list[str], log: Path, env: dict[str, str]) -> None:
        started.append(subprocess.Popen([sys.executable, *arguments], cwd=tmp_path, env=env))

    monkeypatch.setattr(local, "launch", launch)
    yield started
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize("other", [{}, *({name: "another"} for name in local.SAME)])
def test_a_worker_is_kept_only_if_it_works_for_the_same_server(
    launched: list["subprocess.Popen[bytes]"], tmp_path: Path, other: dict[str, str]
) -> None:
    env = local.environment(tmp_path, tmp_path / "storage", 4321)
    noted: list[str] = []
    local.start_worker(tmp_path, "cpu", env, noted.append)
    (first,) = launched
    deadline = time.monotonic() + 60
    while not ours(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.01)  # its environment appears a moment after it
    local.start_worker(tmp_path, "cpu", {**env, **other}, noted.append)
    if other:
        assert len(launched) == 2 and first.poll() is not None
        assert [line.split(" ", 1)[1].strip() for line in noted] == [
            "cpu started",
            "cpu has another server, storage or password: stopping it",
            "cpu started",
        ]
    else:
        assert launched == [first] and first.poll() is None
        assert noted[-1].endswith("cpu is running")


def test_a_server_that_ends_is_an_error_that_names_its_log(tmp_path: Path) -> None:
    server = psutil.Popen([sys.executable, "-c", ""])
    for _ in ("a child that has ended", "one whose end was noticed"):
        with pytest.raises(ServiceError, match=r"server\.log"):
            local.wait_until_up("http://127.0.0.1:9/api/health", server, tmp_path / "server.log")
        server.wait()


def test_the_users_settings_win_except_for_the_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", "60")
    monkeypatch.setenv("PREFECT_API_URL", "http://elsewhere/api")
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "name:word")
    env = local.environment(tmp_path, tmp_path / "storage", 4321)
    assert env["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "60"
    assert env["PREFECT_API_AUTH_STRING"] == "name:word"
    assert env["PREFECT_API_URL"] == env["PREFECT_SERVER_UI_API_URL"] == "http://127.0.0.1:4321/api"
