"""The processes of ``sentiment up``: start, find and stop them.

Every process started here, and all that it starts, carries the environment variable ``MARK`` with
the folder of its logs. There are no pid files to go stale: what carries the mark is running.
"""

import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from sentiment.errors import ServiceError

MARK = "SENTIMENT_UP"
REPORTS = "SENTIMENT_REPORTS"  # address of the server of `flows.server.reports`, for links
RUN = "PREFECT__FLOW_RUN_ID"  # set by Prefect's workers: the run that a process works on
ROOT = Path(__file__).parents[2]  # where the packages are, from which prefect.yaml names files
DEPLOYMENTS = ROOT / "flows" / "prefect.yaml"  # in a checkout a link, in a wheel a file
HOST = "127.0.0.1"
END_WITHIN = 30.0  # seconds between SIGTERM and SIGKILL, for training to write a checkpoint
Note = Callable[[str], None]


def ours(folder: Path) -> list[psutil.Process]:
    """Return the running processes that carry the folder's mark."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARK) == str(folder):
                found.append(process)
    return found


def set_password() -> None:
    """Set PREFECT_API_AUTH_STRING if PREFECT_API_URL is a server that ``up`` runs here.

    The environment of its processes holds the password, and only their owner can read that. It
    also names the server of reports.
    """
    url = os.environ.get("PREFECT_API_URL", "").replace("://localhost:", f"://{HOST}:").rstrip("/")
    if not url:
        return
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            env = process.environ()
            if MARK in env and env.get("PREFECT_API_URL") == url:
                for name in ("PREFECT_API_AUTH_STRING", REPORTS):
                    os.environ[name] = os.environ.get(name) or env.get(name, "")
                return


def launch(arguments: Sequence[str], log: Path, env: dict[str, str]) -> psutil.Process:
    """Start Python in a new session, so that it outlives this terminal."""
    with open(log, "a", opener=private) as output:
        return psutil.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def private(path: str, flags: int) -> int:
    """Open a file that only its owner can read, as an ``opener`` of ``open``."""
    return os.open(path, flags, mode=0o600)


def refuse_taken(port: int) -> None:
    """Raise ServiceError, naming the owner, if a port cannot be listened on."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError as error:
            raise ServiceError(
                f"Port {port} cannot be used: {owner_of(port) or error.strerror}. Choose "
                f"another: make up PORT={port + 1}, or sentiment up --port {port + 1}"
            ) from error


def owner_of(port: int) -> str | None:
    """Return which process listens on a port; None if the system does not say."""
    with suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,):
                if connection.pid is None:
                    break
                command = shlex.join(psutil.Process(connection.pid).cmdline())
                return f"process {connection.pid} listens on it ({command})"
    return None


def end(processes: Iterable[psutil.Process]) -> int:
    """Stop processes with SIGTERM, then SIGKILL; return how many there were."""
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
