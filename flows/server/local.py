"""``sentiment up`` and ``down``: a Prefect server and its workers on this machine."""

import os
import time
from contextlib import nullcontext, suppress
from pathlib import Path

import httpx
import psutil
from filelock import FileLock

from flows.server.processes import HOST, MARK, Note, end, launch, ours, refuse_taken
from sentiment.errors import ServiceError

START_WITHIN = 300.0  # seconds for the server to answer; creating its database is slow
SERVER = ("-m", "prefect", "server", "start", "--host", HOST, "--port")
# A running worker is kept only if these are the same.
SAME = ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "SENTIMENT_STORAGE")


def api_url(port: int) -> str:
    return f"http://{HOST}:{port}/api"


def up(folder: Path, *, storage: Path, port: int, gpu: bool, note: Note) -> None:
    """Start what is not running yet: the server, its deployments, a worker for each pool.

    ``folder`` holds the server's database and the logs. Raises ServiceError if the port is taken
    or the server fails to start.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "up.lock"):
        env = environment(folder, storage.resolve(), port)
        server = start_server(folder, port, env, note)
        from flows.server.deployments import deploy  # loads Prefect while the server starts

        wait_until_up(f"{env['PREFECT_API_URL']}/health", server, folder / "server.log")
        deploy(env, note)
        for pool in ("cpu", "gpu") if gpu else ("cpu",):
            start_worker(folder, pool, env, note)


def down(folder: Path, note: Note) -> None:
    """Stop every process that ``up`` started with this folder, and all that those started.

    The server stops last, so that runs can still report how they ended.
    """
    folder = folder.resolve()
    # Waits for an `up` at work, to stop what it starts too.
    with FileLock(folder / "up.lock") if folder.is_dir() else nullcontext():
        server = [process for process in ours(folder) if is_server(process)]
        children = [child for process in server for child in process.children(recursive=True)]
        kept = {process.pid for process in [*server, *children]}
        ended = end(process for process in ours(folder) if process.pid not in kept)
        ended += end(ours(folder))
    note(f"stopped {ended} processes" if ended else f"nothing is running for {folder}")


def environment(folder: Path, storage: Path, port: int) -> dict[str, str]:
    """Return the environment of the server and the workers; the user's other settings win."""
    defaults = {
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    }
    if secret := os.environ.get("PREFECT_SERVER_API_AUTH_STRING"):
        defaults["PREFECT_API_AUTH_STRING"] = secret
    fixed = {
        MARK: str(folder),
        "PREFECT_HOME": str(folder),
        "SENTIMENT_STORAGE": str(storage),
        "PREFECT_API_URL": api_url(port),
        "PREFECT_SERVER_UI_API_URL": api_url(port),
    }
    return {**defaults, **os.environ, **fixed}


def start_server(folder: Path, port: int, env: dict[str, str], note: Note) -> psutil.Process:
    """Start the server unless it is running; return its process."""
    for process in ours(folder):
        if is_server(process):
            running = int(process.cmdline()[-1])
            if running != port:
                raise ServiceError(
                    f"The server of {folder} runs on port {running}: use it with PORT={running}, "
                    "or stop it first with make down."
                )
            note(f"server     is running on port {port}")
            return process
    refuse_taken(port)
    started = launch([*SERVER, str(port)], folder / "server.log", env)
    note(f"server     starting on port {port}")
    return started


def start_worker(folder: Path, pool: str, env: dict[str, str], note: Note) -> None:
    """Start a pool's worker unless it is running; a GPU worker takes one run at a time.

    A worker with another server, storage folder or password is stopped first.
    """
    limit = ("--limit", "1") if pool == "gpu" else ()
    arguments = ["-m", "prefect", "worker", "start", "--pool", pool, "--type", "process", *limit]
    for process in ours(folder):
        with suppress(psutil.Error):  # it may end meanwhile
            if process.cmdline()[1:] != arguments:
                continue
            its = process.environ()
            if all(its.get(name) == env.get(name) for name in SAME):
                note(f"worker     {pool} is running")
                return
            note(f"worker     {pool} has another server, storage or password: stopping it")
            end([process, *process.children(recursive=True)])
    launch(arguments, folder / f"{pool}.log", env)
    note(f"worker     {pool} started")


def is_server(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return tuple(process.cmdline()[1:-1]) == SERVER
    return False


def wait_until_up(url: str, server: psutil.Process, log: Path) -> None:
    """Wait until the server answers. Raises ServiceError if it ends or takes too long."""
    deadline = time.monotonic() + START_WITHIN
    with httpx.Client(timeout=5, trust_env=False) as client, suppress(psutil.NoSuchProcess):
        while time.monotonic() < deadline and server.status() != psutil.STATUS_ZOMBIE:
            with suppress(httpx.HTTPError):
                if client.get(url).is_success:
                    return
            time.sleep(0.5)
    raise ServiceError(f"The Prefect server does not answer at {url}. See its log: {log}")
