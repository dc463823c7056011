"""A Prefect server and its workers as processes of this machine: ``sentiment up`` and ``down``.

Every process started here, and all that it starts, carries the environment variable ``MARK`` with
the folder of its logs. So there are no pid files to go stale: what runs is what carries the mark.
"""

import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

import httpx
import psutil
from filelock import FileLock

from sentiment.errors import ServiceError

MARK = "SENTIMENT_UP"
ROOT = Path(__file__).parents[2]  # where prefect.yaml is
HOST = "127.0.0.1"
START_WITHIN = 300.0  # seconds for the server to answer; creating its database is slow
END_WITHIN = 30.0  # seconds between SIGTERM and SIGKILL, for training to write a checkpoint
SERVER = ("-m", "prefect", "server", "start", "--host", HOST, "--port")
# What a worker has to share with the server that is to be used.
SAME = ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "SENTIMENT_STORAGE")
Note = Callable[[str], None]


def api_url(port: int) -> str:
    return f"http://{HOST}:{port}/api"


def up(folder: Path, *, storage: Path, port: int, gpu: bool, note: Note) -> None:
    """Start what is not yet running: the server, its deployments, a worker for each pool.

    ``folder`` gets the server's database and the logs. Raises ServiceError when the port is taken
    or the server does not start.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "up.lock"):
        env = environment(folder, storage.resolve(), port)
        server = start_server(folder, port, env, note)
        from flows.server.deployments import deploy  # loads Prefect, while the server starts

        wait_for(f"{env['PREFECT_API_URL']}/health", server, folder / "server.log")
        deploy(env, note)
        for pool in ("cpu", "gpu") if gpu else ("cpu",):
            start_worker(folder, pool, env, note)


def down(folder: Path, note: Note) -> None:
    """End every process that ``up`` started with this folder, and all that those started.

    The server goes last, so that runs can still tell it how they ended.
    """
    folder = folder.resolve()
    # What `up` is about to start is ended too.
    with FileLock(folder / "up.lock") if folder.is_dir() else nullcontext():
        server = [process for process in ours(folder) if is_server(process)]
        children = [child for process in server for child in process.children(recursive=True)]
        kept = {process.pid for process in [*server, *children]}
        ended = end(process for process in ours(folder) if process.pid not in kept)
        ended += end(ours(folder))
    note(f"ended {ended} processes" if ended else f"nothing runs with {folder}")


def ours(folder: Path) -> list[psutil.Process]:
    """Return the running processes that carry the folder's mark."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARK) == str(folder):
                found.append(process)
    return found


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
    """Start the server, unless it runs, and return its process."""
    for process in ours(folder):
        if is_server(process):
            running = int(process.cmdline()[-1])
            if running != port:
                raise ServiceError(
                    f"The server of {folder} runs on port {running}: use it with PORT={running}, "
                    "or end it first with make down."
                )
            note(f"server     runs on port {port}")
            return process
    refuse_taken(port)
    started = launch([*SERVER, str(port)], folder / "server.log", env)
    note(f"server     starting on port {port}")
    return started


def start_worker(folder: Path, pool: str, env: dict[str, str], note: Note) -> None:
    """Start a pool's worker, unless it runs; on the GPU one run at a time.

    One that runs for another server or storage folder, or with another password, is ended first.
    """
    limit = ("--limit", "1") if pool == "gpu" else ()
    arguments = ["-m", "prefect", "worker", "start", "--pool", pool, "--type", "process", *limit]
    for process in ours(folder):
        with suppress(psutil.Error):  # it may end meanwhile
            if process.cmdline()[1:] != arguments:
                continue
            its = process.environ()
            if all(its.get(name) == env.get(name) for name in SAME):
                note(f"worker     {pool} runs")
                return
            note(f"worker     {pool} runs for another server, storage or password: ending it")
            end([process, *process.children(recursive=True)])
    launch(arguments, folder / f"{pool}.log", env)
    note(f"worker     {pool} started")


def is_server(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return tuple(process.cmdline()[1:-1]) == SERVER
    return False


def launch(arguments: Sequence[str], log: Path, env: dict[str, str]) -> psutil.Process:
    """Start Python in a session of its own, so that it outlives this terminal."""
    with log.open("a") as output:
        return psutil.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def refuse_taken(port: int) -> None:
    """Raise ServiceError, naming the owner, when a port cannot be listened on."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError as error:
            raise ServiceError(
                f"Port {port} cannot be used: {owner_of(port) or error.strerror}. Choose another "
                f"one: make up PORT={port + 1}"
            ) from error


def owner_of(port: int) -> str | None:
    """Say which process listens on a port, None where the system does not tell."""
    with suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,):
                if connection.pid is None:
                    break
                command = shlex.join(psutil.Process(connection.pid).cmdline())
                return f"process {connection.pid} listens on it ({command})"
    return None


def wait_for(url: str, server: psutil.Process, log: Path) -> None:
    """Wait until the server answers. Raises ServiceError when it ends or takes too long."""
    deadline = time.monotonic() + START_WITHIN
    with httpx.Client(timeout=5, trust_env=False) as client, suppress(psutil.NoSuchProcess):
        while time.monotonic() < deadline and server.status() != psutil.STATUS_ZOMBIE:
            with suppress(httpx.HTTPError):
                if client.get(url).is_success:
                    return
            time.sleep(0.5)
    raise ServiceError(f"The Prefect server does not answer at {url}. Its log: {log}")


def end(processes: Iterable[psutil.Process]) -> int:
    """End processes by SIGTERM, after a while by SIGKILL; return how many there were."""
    listed = list(processes)
    for process in listed:
        with suppress(psutil.Error):
            process.terminate()
    _, alive = psutil.wait_procs(listed, timeout=END_WITHIN)
    for process in alive:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=END_WITHIN)
    return len(listed)
