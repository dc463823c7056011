"""Notify another service of a run's outcome: a POST to a URL that only the environment knows."""

import json
import os
from collections.abc import Callable, Mapping
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

WEBHOOK = "SENTIMENT_WEBHOOK"
TIMEOUT = 5.0  # seconds


def notify(event: str, about: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """POST ``{"event": event, **about}`` as JSON to the webhook, if the environment names one.

    Failures are reported through ``say`` and never fail the run. The URL's path and query may hold
    a secret and are never shown.
    """
    url = os.environ.get(WEBHOOK)
    if not url:
        return
    try:
        _post(url, {"event": event, **about})
    except Exception as error:  # its text may repeat the URL
        trouble = f"status {error.code}" if isinstance(error, HTTPError) else type(error).__name__
        say(f"webhook    {_host(url)} ({WEBHOOK}) did not receive {event!r}: {trouble}")


def _post(url: str, content: Mapping[str, Any]) -> None:
    # Not httpx, which logs whole URLs.
    if not url.startswith(("https://", "http://")):
        raise ValueError("not an HTTP URL")
    body = json.dumps(content).encode()
    with urlopen(Request(url, body, {"Content-Type": "application/json"}), timeout=TIMEOUT):
        pass


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or "no host"
    except ValueError:
        return "no host"
