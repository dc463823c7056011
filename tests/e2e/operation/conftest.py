"""One server and its workers for all tests of this folder."""

import os
from collections.abc import Iterator

import pytest

from tests.conftest import write_small_data
from tests.e2e.conftest import free_port
from tests.e2e.operation.service import Service


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Bring the service up, on the database of E2E_DATABASE_URL if that is set, and down."""
    folder = tmp_path_factory.mktemp("service")
    env = {"PREFECT_LOGGING_LEVEL": "INFO", "PREFECT_WORKER_QUERY_SECONDS": "2"}
    if database := os.environ.get("E2E_DATABASE_URL"):
        env["PREFECT_API_DATABASE_CONNECTION_URL"] = database
    service = Service(folder, write_small_data(folder / "data"), free_port(), **env)
    try:
        service.up()
        yield service
    finally:
        service.client._client.close()
        service.down()
