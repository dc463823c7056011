"""Take the pictures of the README: a run, its progress and its report, in a headless Chromium.

    python tools/screenshots.py docs/images

starts a Prefect server on a free port, trains on generated reviews and stops the server.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import httpx
from PIL import Image

ROOT = Path(__file__).parents[1]
WAIT = 300.0  # seconds, for a server or a run on a busy machine
SETTINGS = ("sample.train=6000", "sample.test=1500", "train.epochs=4")
COLOURS = 128  # of a picture
T = TypeVar("T")


def chromium() -> str | None:
    """Return the browser's path; None if there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")


def browse(url: str, *options: str, width: int = 1400, height: int = 1000) -> str:
    """Open a page in a headless Chromium, give its scripts time to run; return the output."""
    browser = chromium()
    if browser is None:
        raise SystemExit("Chromium is not installed. On Debian: apt-get install chromium")
    with tempfile.TemporaryDirectory(prefix="chromium-") as profile:
        return subprocess.run(
            [
                browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                "--no-first-run", "--disable-background-networking",
                f"--user-data-dir={profile}", f"--window-size={width},{height}",
                "--virtual-time-budget=15000", *options, url,
            ],
            capture_output=True, text=True, timeout=WAIT, check=True,
        ).stdout  # fmt: skip


def text_of(url: str) -> str:
    """Return a page's HTML after its scripts have run."""
    return browse(url, "--dump-dom")


def take(url: str, path: Path, *, width: int = 1400, height: int = 1000) -> None:
    """Save a screenshot of a page, in few colours, which halves the file."""
    browse(url, f"--screenshot={path.resolve()}", width=width, height=height)
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def poll(what: Callable[[], T | None]) -> T:
    """Return the first result that is not empty."""
    deadline = time.monotonic() + WAIT
    while time.monotonic() < deadline:
        found = what()
        if found:
            return found
        time.sleep(0.2)
    raise SystemExit(f"gave up after {WAIT:.0f} s")


@contextmanager
def server(home: Path) -> Iterator[str]:
    """Run a Prefect server on a free port and yield its address."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    os.environ |= {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": f"{url}/api",
        "PREFECT_SERVER_UI_API_URL": f"{url}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    with (home / "server.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            poll(lambda: healthy(url))
            yield url
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=60)


def healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/health", timeout=5).is_success
    except httpx.HTTPError:
        return False


def progress_of_training(url: str) -> str | None:
    """Return the id of the progress bar of training once it has moved, else None."""
    asked = {"artifacts": {"key": {"any_": ["progress-train"]}}}
    found = httpx.post(f"{url}/api/artifacts/filter", json=asked, timeout=60).json()
    return next((a["id"] for a in found if 20 < (a["data"] or 0) < 100), None)


def main(folder: Path) -> None:
    """Take all screenshots."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="screenshots-") as temporary:
        home = Path(temporary)
        with server(home) as url:
            settings = [option for setting in SETTINGS for option in ("--set", setting)]
            start = "from flows.cli.main import main; main()"
            storage = str(home / "storage")
            run = subprocess.Popen(
                [sys.executable, "-c", start, "run", "--json", "--storage", storage, *settings],
                cwd=ROOT,
                stdout=subprocess.PIPE,
            )
            bar = poll(lambda: progress_of_training(url))
            take(f"{url}/artifacts/artifact/{bar}", folder / "progress.png", height=600)
            output, _ = run.communicate(timeout=WAIT)
            result = json.loads(output)
            (flow_run,) = httpx.post(f"{url}/api/flow_runs/filter", json={}, timeout=60).json()
            take(f"{url}/runs/flow-run/{flow_run['id']}", folder / "run.png", height=580)
            take(Path(result["report"]).as_uri(), folder / "report.png", width=1100, height=1300)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    main(parser.parse_args().folder)
