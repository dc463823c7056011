"""Notifications, received by a local HTTP server."""

import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

import flows.ui.webhook
from flows.pipeline import pipeline
from flows.ui.webhook import WEBHOOK, notify
from sentiment.errors import DataError, SentimentError, StorageError
from tasks.store.run_records import RunRecord
from tests.support.reviews import write_small_data
from tests.support.runs import TINY

SECRET = "sesame"


class Webhook(HTTPServer):
    """Keeps what is posted to it, and answers with a chosen status."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.status = 200
        self.received: list[tuple[str, dict[str, Any]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hooks/{SECRET}?key={SECRET}"


class Answer(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.path, json.loads(body)))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Stay quiet."""


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    with Webhook() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv(WEBHOOK, server.url)
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def said() -> list[str]:
    return []


def test_an_event_arrives_as_json(webhook: Webhook, said: list[str]) -> None:
    notify("champion", {"model": "storage/train/12ab", "accuracy": 0.93}, said.append)
    assert said == []
    assert webhook.received == [
        (
            f"/hooks/{SECRET}?key={SECRET}",
            {"event": "champion", "model": "storage/train/12ab", "accuracy": 0.93},
        )
    ]


def test_without_a_url_nobody_is_notified(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WEBHOOK, raising=False)
    sent: list[str] = []
    monkeypatch.setattr(flows.ui.webhook, "_post", lambda url, _: sent.append(url))
    notify("failed", {}, sent.append)
    assert sent == []


@pytest.mark.parametrize("status", [404, 500])
def test_a_refusal_is_logged_without_the_secret(
    webhook: Webhook, said: list[str], caplog: pytest.LogCaptureFixture, status: int
) -> None:
    webhook.status = status
    caplog.set_level(logging.DEBUG)  # what other libraries log counts as well
    notify("failed", {}, said.append)
    assert f"127.0.0.1 ({WEBHOOK}) did not receive 'failed': status {status}" in said[0]
    assert SECRET not in said[0] + caplog.text


@pytest.mark.parametrize(
    "url",
    [
        f"http://127.0.0.1:1/{SECRET}",
        f"http://user:{SECRET}@127.0.0.1:1/",
        f"{SECRET}",
        f"file:///{SECRET}",
        f"http://[{SECRET}/",
        f"http://127.0.0.1:{SECRET}/",
    ],
)
def test_a_wrong_url_is_logged_without_the_secret(
    monkeypatch: pytest.MonkeyPatch, said: list[str], caplog: pytest.LogCaptureFixture, url: str
) -> None:
    monkeypatch.setenv(WEBHOOK, url)
    caplog.set_level(logging.DEBUG)
    notify("failed", {}, said.append)
    assert "did not receive 'failed'" in said[0]
    assert SECRET not in said[0] + caplog.text


def test_a_failing_run_says_why(prefect_server: None, webhook: Webhook, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        pipeline(
            data=str(tmp_path / "nowhere"), storage=str(tmp_path / "storage"), overrides=list(TINY)
        )
    ((_, sent),) = webhook.received
    assert sent["event"] == "failed"
    assert sent["preset"] == "sample"
    assert sent["error"].startswith("DataError: ") and "nowhere" in sent["error"]
    records = "".join(path.read_text() for path in (tmp_path / "storage").glob("runs/*/run.json"))
    assert records and SECRET not in records


@pytest.mark.parametrize("what", ["preset", "storage", "disk"])
def test_a_run_that_fails_early_or_cannot_record_it_still_notifies(
    prefect_server: None,
    webhook: Webhook,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
) -> None:
    (tmp_path / "file").touch()
    arguments: dict[str, Any] = {"data": str(tmp_path / "nowhere"), "storage": str(tmp_path / "s")}
    if what == "disk":

        def full(self: RunRecord, state: str) -> None:
            raise StorageError("run.json: cannot be written")

        monkeypatch.setattr(RunRecord, "finish", full)
    else:
        arguments |= {what: {"preset": "nonesuch", "storage": str(tmp_path / "file")}[what]}
    with pytest.raises(SentimentError) as raised:
        pipeline(**arguments)
    ((_, sent),) = webhook.received
    assert sent["error"] == f"{type(raised.value).__name__}: {raised.value}"
    assert "run.json" not in sent["error"]


def test_a_new_champion_is_announced_once(
    prefect_server: None, webhook: Webhook, tmp_path: Path
) -> None:
    data = write_small_data(tmp_path / "data")
    for _ in range(2):
        result = pipeline(data=str(data), storage=str(tmp_path / "storage"), overrides=list(TINY))
    ((_, sent),) = webhook.received
    assert sent["event"] == "champion"
    assert sent["model"] == result["model"]
    assert sent["accuracy"] == result["accuracy"]
