"""The server of the reports: what it gives out, and to whom."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn

from flows.run.run_report import report_page
from flows.server.processes import REPORTS
from flows.server.reports import FILES, reports_app
from sentiment.evaluation.label_errors import SUSPECTS
from tasks.store import Store
from tasks.store.run_records import new_run_id
from tests.support.servers import free_port

RUN = "20261128T112006.050174-29482"
PASSWORD = ("sentiment", "a word: with a colon")


def store_at(place: str | Path) -> Store:
    """Return a store with the files of a run, and some that are not of a run."""
    store = Store.at(place)
    for name in (*FILES, "run.json", "metrics.json"):
        store.put(f"runs/{RUN}/{name}", f"{name} of the run")
    store.put("models/report.html", "not of a run")
    store.put("report.html", "not of a run")
    return store


@contextmanager
def served(store: Store, password: str | None) -> Iterator[httpx.Client]:
    """Serve the reports of a store on a free port, in a thread."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        app = reports_app(store, password)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            address = f"http://127.0.0.1:{listener.getsockname()[1]}"
            with httpx.Client(base_url=address, trust_env=False, timeout=60) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    store = store_at(tmp_path_factory.mktemp("storage"))
    with served(store, ":".join(PASSWORD)) as client:
        yield client


def test_a_report_opens_with_the_password(client: httpx.Client) -> None:
    url = f"/runs/{RUN}/report.html"
    page = client.get(url, auth=PASSWORD)
    assert (page.status_code, page.text) == (200, "report.html of the run")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert client.head(url, auth=PASSWORD).status_code == 200
    listed = client.get(f"/runs/{RUN}/{SUSPECTS}", auth=PASSWORD)
    assert listed.headers["content-type"] == "text/csv; charset=utf-8"


def test_without_the_password_there_is_no_report(client: httpx.Client) -> None:
    user, word = PASSWORD
    for wrong in (None, (user, "no"), ("other", word), (user, ""), ("", "")):
        answer = client.get(f"/runs/{RUN}/report.html", auth=wrong)
        assert answer.status_code == 401
        assert (
            answer.headers["www-authenticate"] == 'Basic realm="review-sentiment"'
        )  # the browser asks for it
        assert "of the run" not in answer.text
    assert client.get("/health").json() is True


def test_a_server_without_a_password_has_none_for_reports(place: str) -> None:
    """In a folder, and under a URL."""
    with served(store_at(place), None) as client:
        assert client.get(f"/runs/{RUN}/report.html").text == "report.html of the run"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/runs",
        "/runs/",
        f"/runs/{RUN}",
        f"/runs/{RUN}/",
        f"/runs/{RUN}/run.json",
        f"/runs/{RUN}/metrics.json",
        f"/runs/{RUN}/./report.html/..",
        f"/runs/{RUN}%2f..%2f..%2fmodels/report.html",
        f"/runs/{RUN}/..%2f..%2fmodels%2freport.html",
        f"/runs/{RUN}%0a/report.html",
        "/runs/../models/report.html",
        "/runs/..%2fmodels/report.html",
        "/runs/%2e%2e/report.html",
        "/runs/../report.html",
        "/runs/*/report.html",
        "//etc/passwd",
        "/models/report.html",
        "/report.html",
        "/docs",
        "/openapi.json",
    ],
)
def test_nothing_but_reports_is_given_out(client: httpx.Client, path: str) -> None:
    # As it is: httpx takes the dots out of an address.
    url = client.base_url.copy_with(raw_path=path.encode())
    answer = client.get(url, auth=PASSWORD)
    assert answer.status_code in (404, 422)
    assert "of the run" not in answer.text and "not of a run" not in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_changed(client: httpx.Client, method: str) -> None:
    answer = client.request(method, f"/runs/{RUN}/report.html", auth=PASSWORD)
    assert answer.status_code == 405


def test_a_run_links_only_to_a_report_that_is_served(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = str(client.base_url).removesuffix("/")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", ":".join(PASSWORD))
    monkeypatch.delenv(REPORTS, raising=False)
    assert report_page(RUN) is None
    monkeypatch.setenv(REPORTS, server)
    assert report_page(RUN) == f"{server}/runs/{RUN}/report.html"
    assert report_page(new_run_id()) is None  # of another storage
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "sentiment:other")
    assert report_page(RUN) is None
    for nobody in (f"http://127.0.0.1:{free_port()}", "no address"):
        monkeypatch.setenv(REPORTS, nobody)
        assert report_page(RUN) is None
