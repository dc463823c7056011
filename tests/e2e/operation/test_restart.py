"""The server, its workers or all of it stop in mid-run, and start again."""

from collections.abc import Iterator

import pytest

from flows.server import processes
from tests.e2e.operation.conftest import started
from tests.e2e.operation.service import Service
from tests.support.servers import run_sentiment


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose password `up` made."""
    with started(tmp_path_factory.mktemp("restart")) as service:
        yield service


def test_commands_on_this_machine_know_the_password_and_nobody_else(service: Service) -> None:
    done = run_sentiment("deploy", PREFECT_API_URL=service.url)
    assert done.returncode == 0, done.stderr
    assert "deployed" in done.stdout
    assert service.folder.stat().st_mode & 0o777 == 0o700
    assert (service.folder / "password").stat().st_mode & 0o777 == 0o600
    shown = [done.stdout, done.stderr, *(log.read_text() for log in service.folder.glob("*.log"))]
    shown += [" ".join(process.cmdline()) for process in processes.ours(service.folder)]
    assert len(service.secret) > 20
    word = service.secret.removeprefix("sentiment:")
    assert [text for text in shown if word in text] == []
