"""A Prefect server for the tests with real processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.servers import end, free_port, wait_for

# A shell starts what it leaves in the background (`make test &`) deaf to Ctrl-C, and so would the
# processes be that are interrupted here.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A Prefect server on a free port; the environment that makes commands use it."""
    home = tmp_path_factory.mktemp("server")
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    env = {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": url,
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_UI_API_URL": url,
    }
    log = (home / "server.log").open("w")
    process = subprocess.Popen(
        [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)],
        env={**os.environ, **env},
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        wait_for(f"{url}/health")
        yield env
    finally:
        end(process)
        log.close()
