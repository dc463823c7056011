"""Real processes: the command line, a Prefect server, their ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TIMEOUT = 180  # seconds: far more than any of these commands takes


def command(*arguments: str, code: Path = ROOT) -> list[str]:
    """Return the command line ``sentiment ...`` on the code under a folder."""
    start = (
        f"import sys; sys.path.insert(0, {str(code)!r}); from flows.cli import main; main.main()"
    )
    return [sys.executable, "-c", start, *arguments]


def run_sentiment(
    *arguments: str, code: Path = ROOT, stdin: str | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        command(*arguments, code=code),
        capture_output=True,
        text=True,
        input=stdin,
        timeout=TIMEOUT,
        cwd=code,
        env={**os.environ, "COLUMNS": "80", **env},
    )


def result_of(process: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return the JSON document that a successful command printed."""
    assert process.returncode == 0, process.stderr
    (line,) = process.stdout.splitlines()
    result: dict[str, Any] = json.loads(line)
    return result


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def free_pair() -> int:
    """Return a free port for `sentiment up`, which also uses the next one."""
    while True:
        port = free_port()
        with socket.socket() as listener, suppress(OSError, OverflowError):
            listener.bind(("127.0.0.1", port + 1))
            return port


def end(process: subprocess.Popen[Any]) -> None:
    """End a process that was started with a process group of its own, and all its children."""
    try:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=20)
    except (ProcessLookupError, subprocess.TimeoutExpired):
        pass
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(url: str) -> None:
    for _ in range(4 * TIMEOUT):
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.25)
    raise AssertionError(f"{url} does not answer")
