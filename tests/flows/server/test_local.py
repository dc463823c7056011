"""The server and the workers of `sentiment up`."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flows.server import local
from flows.server.processes import REPORTS, ours, set_password
from sentiment.errors import ServiceError
from tests.support.servers import free_port


@pytest.fixture
def launched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Workers started by the test, which sleep under a worker's command line."""
    started: list[subprocess.Popen[bytes]] = []
    (tmp_path / "prefect.py").write_text("import time; time.sleep(300)")

    def launch(arguments: list[str], log: Path, env: dict[str, str]) -> psutil.Process:
        started.append(subprocess.Popen([sys.executable, *arguments], cwd=tmp_path, env=env))
        return psutil.Process(started[-1].pid)

    monkeypatch.setattr(local, "launch", launch)
    yield started
    for process in started:
        process.kill()
        process.wait()


def wait_for_processes(folder: Path) -> None:
    """Wait for a process's environment, which appears a moment after it."""
    deadline = time.monotonic() + 60
    while not ours(folder) and time.monotonic() < deadline:
        time.sleep(0.01)


@pytest.mark.parametrize("other", [{}, *({name: "another"} for name in local.SAME)])
def test_a_worker_is_kept_only_if_it_works_for_the_same_server(
    launched: list["subprocess.Popen[bytes]"], tmp_path: Path, other: dict[str, str]
) -> None:
    env = local.environment(tmp_path, tmp_path / "storage", 4321)
    noted: list[str] = []
    local.start_worker(tmp_path, "cpu", env, noted.append)
    (first,) = launched
    wait_for_processes(tmp_path)
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


def test_a_password_is_made_once_and_only_its_owner_can_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_SERVER_API_AUTH_STRING", raising=False)
    # That of another server, which the shell names.
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "name:another")
    env = local.environment(tmp_path, tmp_path / "storage", 4321)
    made = env["PREFECT_SERVER_API_AUTH_STRING"]
    assert made.startswith("sentiment:") and len(made) > 30
    assert env["PREFECT_API_AUTH_STRING"] == made
    assert (tmp_path / "password").stat().st_mode & 0o777 == 0o600
    again = local.environment(tmp_path, tmp_path / "storage", 4322)
    assert again["PREFECT_SERVER_API_AUTH_STRING"] == made


def test_a_server_with_another_password_is_not_used(
    launched: list["subprocess.Popen[bytes]"], tmp_path: Path
) -> None:
    env = local.environment(tmp_path, tmp_path / "storage", free_port())
    port = int(env["PREFECT_API_URL"].removesuffix("/api").rpartition(":")[2])
    local.start_server(tmp_path, port, env, lambda line: None)
    wait_for_processes(tmp_path)
    other = {**env, "PREFECT_SERVER_API_AUTH_STRING": "name:another"}
    with pytest.raises(ServiceError, match="runs with another password"):
        local.start_server(tmp_path, port, other, lambda line: None)
    local.start_server(tmp_path, port, env, lambda line: None)
    assert len(launched) == 1


def test_a_command_finds_the_password_of_a_server_on_this_machine(
    launched: list["subprocess.Popen[bytes]"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = local.environment(tmp_path, tmp_path / "storage", 4321)
    local.start_worker(tmp_path, "cpu", env, lambda line: None)
    wait_for_processes(tmp_path)
    for url, found in (
        ("http://127.0.0.1:4321/api", env["PREFECT_API_AUTH_STRING"]),
        ("http://localhost:4321/api/", env["PREFECT_API_AUTH_STRING"]),
        ("http://127.0.0.1:4322/api", None),
        ("http://127.0.0.1.elsewhere.example:4321/api", None),
    ):
        monkeypatch.setenv("PREFECT_API_URL", url)
        monkeypatch.delenv("PREFECT_API_AUTH_STRING", raising=False)
        set_password()
        assert os.environ.get("PREFECT_API_AUTH_STRING") == found
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "the:user's")
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4321/api")
    set_password()
    assert os.environ["PREFECT_API_AUTH_STRING"] == "the:user's"


def test_a_command_finds_the_address_of_the_reports(
    launched: list["subprocess.Popen[bytes]"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = local.environment(tmp_path, tmp_path / "storage", 4321)
    local.start_worker(tmp_path, "cpu", env, lambda line: None)
    wait_for_processes(tmp_path)
    monkeypatch.setenv("PREFECT_API_URL", env["PREFECT_API_URL"])
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", env["PREFECT_API_AUTH_STRING"])
    for given, found in (("", "http://127.0.0.1:4322"), ("http://mine", "http://mine")):
        monkeypatch.setenv(REPORTS, given)
        set_password()
        assert os.environ[REPORTS] == found


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


def test_what_up_has_started_is_stopped_when_a_later_step_fails(
    launched: list["subprocess.Popen[bytes]"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = local.environment(tmp_path, tmp_path / "storage", 4321)
    local.start_worker(tmp_path, "gpu", env, lambda line: None)  # of an earlier `up`
    wait_for_processes(tmp_path)

    def fail(*_: object) -> None:
        while len(ours(tmp_path)) < 2:
            time.sleep(0.01)
        raise ServiceError("no")

    monkeypatch.setattr(local, "wait_until_up", fail)
    noted: list[str] = []
    with pytest.raises(ServiceError):
        local.up(tmp_path, storage=tmp_path / "s", port=free_port(), gpu=False, note=noted.append)
    earlier, server = launched
    assert earlier.poll() is None
    assert server.wait(timeout=60) is not None
    assert noted[-1] == "stopped 1 processes"
