"""The temporary server: whose it is when another one is named, and what it says when it fails."""

import subprocess
import sys

import psutil
import pytest

from flows import temporary
from flows.temporary import start_server
from sentiment.errors import ServiceError


@pytest.fixture(autouse=True)
def unnamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)


def servers() -> list[psutil.Process]:
    mine = psutil.Process().children()
    return [child for child in mine if temporary.__file__ in child.cmdline()]


def test_a_server_named_in_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    with start_server()():
        assert not servers()


def test_a_server_named_in_a_profile_is_used() -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    named = "http://127.0.0.1:9/api"
    with temporary_settings({PREFECT_API_URL: named}):
        use = start_server()
        assert len(servers()) == 1
        with use():
            assert PREFECT_API_URL.value() == named
            assert not servers()


def test_a_server_that_ends_at_once_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_SERVER_ALLOW_EPHEMERAL_MODE,
        temporary_settings,
    )

    def start(listener: int) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-c", ""], stdin=subprocess.PIPE, pass_fds=[listener]
        )

    monkeypatch.setattr(temporary, "_start", start)
    wanted = {PREFECT_SERVER_ALLOW_EPHEMERAL_MODE: True}
    with temporary_settings(wanted, restore_defaults={PREFECT_API_URL}):
        use = start_server()
        with pytest.raises(ServiceError, match="PREFECT_API_URL"), use():
            pass
