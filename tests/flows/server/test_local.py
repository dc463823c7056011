"""Processes of `sentiment up`: found by their mark, ended with all that they started."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flows.server import local
from sentiment.errors import ServiceError

# Prints its child's pid; the child has left its process group and takes no notice of SIGTERM.
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import signal, time; "
    "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(300)"],
    start_new_session=True, stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(300)
"""


@pytest.fixture
def marked(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], psutil.Process]]:
    """A process that carries the mark of a folder, and its child."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        env={**os.environ, local.MARK: str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout
    child = psutil.Process(int(parent.stdout.readline()))
    yield parent, child
    parent.kill()
    parent.wait()
    parent.stdout.close()
    if child.is_running():
        child.kill()


def test_down_ends_what_was_started_and_its_children_only(
    marked: tuple[subprocess.Popen[str], psutil.Process],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local, "END_WITHIN", 0.3)
    parent, child = marked
    other = local.ours(tmp_path / "other")
    assert other == []
    assert {process.pid for process in local.ours(tmp_path)} == {parent.pid, child.pid}
    told: list[str] = []
    local.down(tmp_path / "other", told.append)
    assert parent.poll() is None
    local.down(tmp_path, told.append)
    assert local.ours(tmp_path) == []
    assert "nothing runs" in told[0] and told[1] == "ended 2 processes"


@pytest.fixture
def launched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Workers started in the test: they sleep under a worker's command line."""
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
    told: list[str] = []
    local.start_worker(tmp_path, "cpu", env, told.append)
    (first,) = launched
    deadline = time.monotonic() + 60
    while not local.ours(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.01)  # its environment is there a moment after it
    local.start_worker(tmp_path, "cpu", {**env, **other}, told.append)
    if other:
        assert len(launched) == 2 and first.poll() is not None
        assert [line.split(" ", 1)[1].strip() for line in told] == [
            "cpu started",
            "cpu runs for another server, storage or password: ending it",
            "cpu started",
        ]
    else:
        assert launched == [first] and first.poll() is None
        assert told[-1].endswith("cpu runs")


def test_a_taken_port_names_its_owner_and_the_way_out() -> None:
    with socket.socket() as listener:
        listener.bind((local.HOST, 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(ServiceError, match=rf"process {os.getpid()} .*PORT={port + 1}"):
            local.refuse_taken(port)
    local.refuse_taken(port)


def test_a_server_that_ends_is_an_error_that_names_its_log(tmp_path: Path) -> None:
    server = psutil.Popen([sys.executable, "-c", ""])
    for _ in ("a child that has ended", "one whose end was noticed"):
        with pytest.raises(ServiceError, match=r"server\.log"):
            local.wait_for("http://127.0.0.1:9/api/health", server, tmp_path / "server.log")
        server.wait()


def test_the_users_settings_win_but_for_the_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", "60")
    monkeypatch.setenv("PREFECT_API_URL", "http://elsewhere/api")
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "name:word")
    env = local.environment(tmp_path, tmp_path / "storage", 4321)
    assert env["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "60"
    assert env["PREFECT_API_AUTH_STRING"] == "name:word"
    assert env["PREFECT_API_URL"] == env["PREFECT_SERVER_UI_API_URL"] == "http://127.0.0.1:4321/api"
