"""``sentiment up`` and ``down``: a Prefect server and its workers on this machine."""

import os
import secrets
import shlex
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

import httpx
import psutil
from filelock import FileLock

from flows.server.processes import (
    HOST,
    MARK,
    REPORTS,
    RUN,
    Note,
    end,
    launch,
    ours,
    private,
    refuse_taken,
)
from sentiment.errors import ServiceError
from tasks.store.place import resolved

START_WITHIN = 300.0  # seconds for the server to answer; creating its database is slow
SERVER = ("-m", "prefect", "server", "start", "--host", HOST, "--port")
REPORTS_SERVER = ("-m", "flows.server.reports")
# A running process is kept only if these are the same.
SAME = ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "SENTIMENT_STORAGE", REPORTS)


def api_url(port: int) -> str:
    return f"http://{HOST}:{port}/api"


def reports_url(port: int) -> str:
    """Return the address of the reports beside the server of a port."""
    return f"http://{HOST}:{port + 1}"


def up(folder: Path, *, storage: str | Path, port: int, gpu: bool, note: Note) -> None:
    """Start what is not running yet: the server, its deployments, reports, a worker for each pool.

    ``folder`` holds the server's database, password and logs; only its owner may open it. Raises
    ServiceError if the port is taken or the server fails to start. On any error, what was started
    here is stopped.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    with FileLock(folder / "up.lock"):
        env = environment(folder, resolved(storage), port)
        before = {process.pid for process in ours(folder)}
        try:
            server = start_server(folder, port, env, note)
            from flows.server.deployments import deploy  # loads Prefect while the server starts

            wait_until_up(f"{env['PREFECT_API_URL']}/health", server, folder / "server.log")
            start_reports(folder, port + 1, env, note)
            deploy(env, note)
            end_dead_runs(folder, env, note, because="found dead by `sentiment up`")
            switch_gpu_pool(folder, env, note, on=gpu)
            for pool in ("cpu", "gpu") if gpu else ("cpu",):
                start_worker(folder, pool, env, note)
        except BaseException:
            if ended := end(process for process in ours(folder) if process.pid not in before):
                note(f"stopped {ended} processes")
            raise


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
        for process in server:
            try:
                env = process.environ()
                if answers(f"{env['PREFECT_API_URL']}/health"):
                    end_dead_runs(folder, env, note, because="stopped by `sentiment down`")
            except (ServiceError, psutil.Error) as error:  # the next `up` marks them
                note(f"runs       not marked as crashed: {error}")
        ended += end(ours(folder))
    note(f"stopped {ended} processes" if ended else f"nothing is running for {folder}")


def environment(folder: Path, storage: str | Path, port: int) -> dict[str, str]:
    """Return the environment of the server and the workers; the user's other settings win."""
    defaults = {
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        # In memory, a restart of the server would lose what a run renews: Prefect ends such a run.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
            "prefect.server.concurrency.lease_storage.filesystem"
        ),
        # Not "*": a page of another site may not use the API from the user's browser.
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": (
            f"http://{HOST}:{port},http://localhost:{port}"
        ),
    }
    secret = password(folder)
    fixed = {
        MARK: str(folder),
        REPORTS: reports_url(port),
        "PREFECT_HOME": str(folder),
        "SENTIMENT_STORAGE": str(storage),
        "PREFECT_API_URL": api_url(port),
        "PREFECT_SERVER_UI_API_URL": api_url(port),
        "PREFECT_SERVER_API_AUTH_STRING": secret,
        "PREFECT_API_AUTH_STRING": secret,
    }
    return {**defaults, **os.environ, **fixed}


def password(folder: Path) -> str:
    """Return the server's ``USER:WORD``: the user's, or one that the folder keeps in a file."""
    if given := os.environ.get("PREFECT_SERVER_API_AUTH_STRING"):
        return given
    path = folder / "password"
    if not (path.is_file() and path.read_text().strip()):
        with open(path, "w", opener=private) as file:
            file.write(f"sentiment:{secrets.token_urlsafe(16)}\n")
    return path.read_text().strip()


def start_server(folder: Path, port: int, env: dict[str, str], note: Note) -> psutil.Process:
    """Start the server unless it is running; return its process."""
    for process in ours(folder):
        if is_server(process):
            running = int(process.cmdline()[-1])
            if running != port:
                raise ServiceError(
                    f"The server of {folder} runs on port {running}: use it with --port {running} "
                    f"(make up PORT={running}), or stop it first: {stop_command(folder)}"
                )
            name = "PREFECT_SERVER_API_AUTH_STRING"
            if process.environ().get(name) != env[name]:
                raise ServiceError(
                    f"The server of {folder} runs with another password, or without one. Set "
                    f"{name} as it was then, or stop it first: {stop_command(folder)}"
                )
            note(f"server     is running on port {port}")
            return process
    refuse_taken(port)
    started = launch([*SERVER, str(port)], folder / "server.log", env)
    note(f"server     starting on port {port}")
    return started


def stop_command(folder: Path) -> str:
    return shlex.join(["sentiment", "down", "--folder", str(folder)])


def start_worker(folder: Path, pool: str, env: dict[str, str], note: Note) -> None:
    """Start a pool's worker unless it is running; a GPU worker takes one run at a time.

    A worker with another server, storage folder or password is stopped first.
    """
    what, command = f"worker     {pool}", worker_command(folder, pool)
    if find_running(what, command, folder, env, note) is None:
        launch(command, folder / f"{pool}.log", env)
        note(f"{what} started")


def start_reports(folder: Path, port: int, env: dict[str, str], note: Note) -> None:
    """Start the server of the reports unless it is running, as with a worker."""
    what, command, log = f"reports    on port {port}", [*REPORTS_SERVER, str(port)], "reports.log"
    process = find_running(what, command, folder, env, note)
    if process is None:
        refuse_taken(port)
        process = launch(command, folder / log, env)
        note(f"{what} started")
    wait_until_up(f"{env[REPORTS]}/health", process, folder / log)


def find_running(
    what: str, command: Sequence[str], folder: Path, env: Mapping[str, str], note: Note
) -> psutil.Process | None:
    """Return the process that runs a command of Python, or None; stop it where ``SAME`` differs."""
    for process in ours(folder):
        with suppress(psutil.Error):  # it may end meanwhile
            if process.cmdline()[1:] != [*command]:
                continue
            its = process.environ()
            if all(its.get(name) == env.get(name) for name in SAME):
                note(f"{what} is running")
                return process
            note(f"{what} has another server, storage or password: stopping it")
            end([process, *process.children(recursive=True)])
    return None


def worker_command(folder: Path, pool: str) -> list[str]:
    limit = ("--limit", "1") if pool == "gpu" else ()
    start = ["-m", "prefect", "worker", "start", "--pool", pool, "--type", "process"]
    return [*start, "--name", worker_name(folder, pool), *limit]


def worker_name(folder: Path, pool: str) -> str:
    """Return a name by which runs of this folder's workers are told from those of all others."""
    return f"{pool}@{socket.gethostname()}{folder}".translate({ord("/"): ":", ord("%"): ":"})


def end_dead_runs(folder: Path, env: Mapping[str, str], note: Note, *, because: str) -> None:
    """Mark runs as crashed that this folder's workers started and that no process works on.

    Otherwise they would keep the place of the next run. The runs of a worker that is alive are
    left to it, and so are those of other workers and of a terminal.
    """
    from flows.server.deployments import POOLS, end_runs, server_of

    at_work, workers = set(), {pool: worker_name(folder, pool) for pool in POOLS}
    for process in ours(folder):
        with suppress(psutil.Error):  # it may end meanwhile
            at_work.add(process.environ().get(RUN))
            for pool in POOLS:
                if process.cmdline()[1:] == worker_command(folder, pool):
                    workers.pop(pool, None)
    with server_of(env) as client:
        for name in end_runs(client, {*workers.values()}, at_work, because):
            note(f"run        {name}: {because}")


def switch_gpu_pool(folder: Path, env: Mapping[str, str], note: Note, *, on: bool) -> None:
    """Pause the pool gpu unless its worker is to start, runs already, or is one elsewhere."""
    from flows.server.deployments import server_of, switch_pool

    command = worker_command(folder, "gpu")
    for process in ours(folder):
        with suppress(psutil.Error):
            on |= process.cmdline()[1:] == command
    with server_of(env) as client:
        if switch_pool(client, "gpu", worker_name(folder, "gpu"), on=on):
            note("pool       gpu is paused; --gpu starts a worker and resumes it")


def is_server(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return tuple(process.cmdline()[1:-1]) == SERVER
    return False


def wait_until_up(url: str, server: psutil.Process, log: Path) -> None:
    """Wait until the server answers. Raises ServiceError if it ends or takes too long."""
    deadline = time.monotonic() + START_WITHIN
    with suppress(psutil.NoSuchProcess):
        while time.monotonic() < deadline and server.status() != psutil.STATUS_ZOMBIE:
            if answers(url):
                return
            time.sleep(0.5)
    raise ServiceError(f"Nothing answers at {url}. See the log: {log}")


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5, trust_env=False).is_success
    except httpx.HTTPError:
        return False
