"""What all tests share: a home for Prefect of their own, and fixtures."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

# Before anything loads Prefect: tests leave the user's database and settings alone.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
_home = tempfile.TemporaryDirectory(prefix="prefect-home-")
os.environ |= {
    "PREFECT_HOME": _home.name,
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
}
os.environ.pop("PREFECT_API_URL", None)
os.environ.pop("SENTIMENT_STORAGE", None)
os.environ.pop("SENTIMENT_WEBHOOK", None)
os.environ["SENTIMENT_CACHE"] = str(Path(_home.name, "cache"))
for _name in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[_name]  # tests meet no storage of the user's

from flows.config.presets import load_config  # noqa: E402
from tasks.run.config import PipelineConfig  # noqa: E402
from tasks.run.spec import RunSpec  # noqa: E402
from tasks.store import Store  # noqa: E402
from tests.support.reviews import write_small_data  # noqa: E402
from tests.support.runs import TINY  # noqa: E402
from tests.support.s3 import BUCKET, environment, wanted_server  # noqa: E402


@pytest.fixture(scope="session")
def tiny_config() -> PipelineConfig:
    return load_config("sample", TINY)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with 60 training and 20 test reviews."""
    return write_small_data(tmp_path / "data")


@pytest.fixture
def make_spec(tmp_path: Path) -> Callable[..., RunSpec]:
    """Return a function that makes a spec on a storage folder of its own."""

    def make(
        data: str | Path | None,
        *overrides: str,
        storage: str | Path | None = None,
        preset: str = "sample",
    ) -> RunSpec:
        config = load_config(preset, [*TINY, *overrides])
        return RunSpec(preset, config, data, Store.at(storage or tmp_path / "storage"))

    return make


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """A temporary Prefect server for the tests that run flows in this process."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an S3 server with one bucket, for which the environment is set."""
    pytest.importorskip("obstore")
    folder = tmp_path_factory.mktemp("s3")
    with wanted_server(folder) as address, pytest.MonkeyPatch.context() as patch:
        for name, value in environment(address).items():
            patch.setenv(name, value)
        yield address


@pytest.fixture
def url(s3: str) -> str:
    """A URL of the S3 server under which there is nothing yet."""
    return f"s3://{BUCKET}/{uuid4().hex}/storage"


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A storage with nothing in it: a folder, then a URL."""
    if request.param == "folder":
        return str(tmp_path / "storage")
    url: str = request.getfixturevalue("url")
    return url
