"""Processes of `sentiment up`: found by their mark, stopped with all that they started."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flows.server import local, processes
from sentiment.errors import ServiceError

# Prints its child's pid; the child has left its process group and ignores SIGTERM.
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
        env={**os.environ, processes.MARK: str(tmp_path)},
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


def test_down_stops_what_was_started_and_its_children_only(
    marked: tuple[subprocess.Popen[str], psutil.Process],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processes, "END_WITHIN", 0.3)
    parent, child = marked
    other = processes.ours(tmp_path / "other")
    assert other == []
    assert {process.pid for process in processes.ours(tmp_path)} == {parent.pid, child.pid}
    noted: list[str] = []
    local.down(tmp_path / "other", noted.append)
    assert parent.poll() is None
    local.down(tmp_path, noted.append)
    assert processes.ours(tmp_path) == []
    assert "nothing is running" in noted[0] and noted[1] == "stopped 2 processes"


def test_a_taken_port_is_an_error_that_names_its_owner_and_another_port() -> None:
    with socket.socket() as listener:
        listener.bind((processes.HOST, 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(ServiceError, match=rf"process {os.getpid()} .*PORT={port + 1}"):
            processes.refuse_taken(port)
    processes.refuse_taken(port)
