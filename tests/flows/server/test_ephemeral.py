"""The ephemeral server: not used when another one is named; errors when it fails."""

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psutil
import pytest

from flows.server import ephemeral
from flows.server.ephemeral import start_server
from sentiment.errors import ServiceError


@pytest.fixture(autouse=True)
def unnamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)


def servers() -> list[psutil.Process]:
    mine = psutil.Process().children()
    return [child for child in mine if ephemeral.__file__ in child.cmdline()]


@pytest.fixture
def named() -> Iterator[str]:
    """The address of something that answers."""
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()
        thread.join()


def test_a_server_that_wants_a_password_is_an_error_that_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Closed(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path.endswith("/health") else 401)
            self.end_headers()

    with HTTPServer(("127.0.0.1", 0), Closed) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{server.server_port}/api")
        with pytest.raises(ServiceError, match="set PREFECT_API_AUTH_STRING"), start_server()():
            pass
        server.shutdown()
        thread.join()


def test_an_invalid_address_is_an_error_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://localhost:42OO/api")
    match = r"does not answer .*: unset PREFECT_API_URL$"
    with pytest.raises(ServiceError, match=match), start_server()():
        pass


def test_a_server_named_in_the_environment_is_used(
    monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", named)
    with start_server()():
        assert not servers()
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    with pytest.raises(ServiceError, match=r"127.0.0.1:9/api does not answer"), start_server()():
        pass


def test_a_server_named_in_a_profile_is_used(named: str) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: named}):
        use = start_server()
        assert len(servers()) == 1
        with use():
            assert PREFECT_API_URL.value() == named
            assert not servers()


@pytest.fixture
def nameless(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No server is named, whatever other tests of this process use."""
    from prefect import context
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_SERVER_ALLOW_EPHEMERAL_MODE,
        temporary_settings,
    )

    monkeypatch.setattr(context, "GLOBAL_SETTINGS_CONTEXT", context.GLOBAL_SETTINGS_CONTEXT)
    allowed = {PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: True}
    with temporary_settings(allowed, restore_defaults={PREFECT_API_URL}):
        yield


def without_a_server(listener: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.PIPE, pass_fds=[listener])


def test_threads_and_worker_processes_use_the_server_too(
    nameless: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise Prefect would start another one for each."""
    from prefect.settings import PREFECT_API_URL

    monkeypatch.setattr(ephemeral, "_start", without_a_server)
    monkeypatch.setattr(ephemeral, "_wait_for", lambda port: None)
    seen: list[str | None] = []
    with start_server()():
        thread = threading.Thread(target=lambda: seen.append(PREFECT_API_URL.value()))
        thread.start()
        thread.join()
        assert seen == [os.environ["PREFECT_API_URL"]]
    assert "PREFECT_API_URL" not in os.environ


def test_the_database_of_a_newer_prefect_is_an_error_that_says_what_to_do(
    nameless: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with sqlite3.connect(tmp_path / "prefect.db") as database:
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        database.execute("INSERT INTO alembic_version VALUES ('fedcba987654')")
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.setenv(
        "PREFECT_SERVER_DATABASE_CONNECTION_URL", f"sqlite+aiosqlite:///{tmp_path}/prefect.db"
    )
    with pytest.raises(ServiceError, match="failed to start"), start_server()():
        pass
    shown = capfd.readouterr().err
    assert "export PREFECT_HOME=" in shown
    assert "Traceback" not in shown
    assert "Fatal" not in shown


def test_a_server_that_ends_at_once_is_an_error(
    nameless: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ephemeral, "_start", without_a_server)
    use = start_server()
    with pytest.raises(ServiceError, match="PREFECT_API_URL"), use():
        pass
