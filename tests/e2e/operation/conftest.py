"""One server and its workers for all tests of this folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from tests.e2e.operation.postgresql import own_postgresql
from tests.e2e.operation.service import Service
from tests.support.reviews import write_small_data
from tests.support.servers import free_pair

SECRET = "correct-horse-battery"


@contextmanager
def database() -> Iterator[str | None]:
    """Yield the URL of the database named by E2E_DATABASE; None for SQLite, as in `make up`."""
    wanted = os.environ.get("E2E_DATABASE")
    with own_postgresql() if wanted == "postgresql" else nullcontext(wanted) as url:
        yield url


@contextmanager
def started(folder: Path, **env: str) -> Iterator[Service]:
    """Start a service on a database of its own, and stop it."""
    env = {
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",  # else a minute
        **env,
    }
    with database() as url, pytest.MonkeyPatch.context() as patch:
        patch.delenv("PREFECT_LOGGING_LEVEL", raising=False)  # tests see what `make up` sets
        if url:
            env["PREFECT_API_DATABASE_CONNECTION_URL"] = url
        service = Service(folder, write_small_data(folder / "data"), free_pair(), **env)
        try:
            service.up()
            with service.client:
                yield service
        finally:
            service.down()


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with a password of the user's."""
    secret = f"sentiment:{SECRET}"
    folder = tmp_path_factory.mktemp("service")
    with started(folder, PREFECT_SERVER_API_AUTH_STRING=secret) as service:
        yield service
