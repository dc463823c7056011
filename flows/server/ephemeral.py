"""Prefect's ephemeral server, for a command that names no other server.

Left alone, Prefect's client imports the whole server into its own process before it starts another
process for it. Here that process starts first, and comes up while this one is still importing.
"""

import atexit
import http.client
import logging
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from multiprocessing.util import _exit_function  # type: ignore[attr-defined]
from pathlib import Path
from typing import Any, NoReturn

from sentiment.errors import SentimentError, ServiceError
from sentiment.training.signals import wait_for_stoppable_work

PATIENCE = 90  # seconds, for a busy machine
END_WITHIN = 8.0  # seconds for a run to end after its server; a checkpoint may take longer
ENDED = (
    "Prefect's ephemeral server has ended, and with it this run. What is finished is kept: run the "
    "same command again."
)
OTHER_DATABASE = (
    "A newer Prefect has written the database in ~/.prefect, or wherever PREFECT_HOME is. Give "
    "this one a folder of its own: export PREFECT_HOME=~/.prefect-reviews"
)


class ServerEndedError(ServiceError):
    """The ephemeral server ended before its run. Prefect has no one left to report to."""

    def __init__(self) -> None:
        super().__init__(ENDED)


def prepare_prefect(*, debug: bool) -> None:
    """Set Prefect's defaults for a command; the user's own settings win.

    They include the password of a server of `sentiment up` that PREFECT_API_URL names.
    """
    if "PREFECT_API_URL" in os.environ:
        from flows.server.processes import set_password

        set_password()
    for name, value in {
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "INFO" if debug else "CRITICAL",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING" if debug else "CRITICAL",
    }.items():
        os.environ.setdefault(name, value)


def may_name_server() -> bool:
    """Return whether the user's environment or Prefect's files name a server, or cannot be read.

    Prefect itself would take seconds to say.
    """
    if os.environ.get("PREFECT_API_URL"):
        return True
    home = Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()
    profiles = Path(os.environ.get("PREFECT_PROFILES_PATH") or home / "profiles.toml")
    try:
        known = _toml(profiles)
        active = os.environ.get("PREFECT_PROFILE") or known.get("active")
        profile = known.get("profiles", {}).get(active, {})
        projects = [_toml(Path("prefect.toml"))]
        projects.append(_toml(Path("pyproject.toml")).get("tool", {}).get("prefect", {}))
        return bool(
            profile.get("PREFECT_API_URL")
            or any(project.get("api", {}).get("url") for project in projects)
            or (Path(".env").exists() and "PREFECT_API_URL" in Path(".env").read_text())
        )
    except (OSError, ValueError, AttributeError):
        return True


def _toml(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def start_server() -> Callable[[], AbstractContextManager[None]]:
    """Start a server unless the environment names one; return the context to use it in.

    Entering the context waits until the server is up, and raises ServiceError if it fails to start.
    If the server ends before the context, its block is interrupted as by SIGTERM, and
    ServerEndedError is raised. The server ends with this process, however that ends.
    """
    if named := os.environ.get("PREFECT_API_URL"):
        return lambda: _named(named)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        process = _start(listener.fileno())
    # Registered before Prefect is imported, so that it runs after Prefect's last requests.
    atexit.register(_end, process)

    @contextmanager
    def use() -> Iterator[None]:
        from prefect.context import refresh_global_settings_context
        from prefect.settings import PREFECT_API_URL, PREFECT_SERVER_ALLOW_EPHEMERAL_MODE

        url = PREFECT_API_URL.value()
        if url or not PREFECT_SERVER_ALLOW_EPHEMERAL_MODE.value():
            _end(process)  # the user's profile takes precedence
            with _named(url) if url else nullcontext():
                yield
            return
        _wait_for(port)
        # For all threads and worker processes: Prefect would start another server for each.
        os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
        refresh_global_settings_context()
        try:
            with _stopped_without(process):
                yield
        finally:
            del os.environ["PREFECT_API_URL"]
            refresh_global_settings_context()

    return use


@contextmanager
def _named(url: str) -> Iterator[None]:
    """Use the server that the user named. Raises ServiceError if it refuses or does not answer."""
    import httpx
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_KEY

    word, key = PREFECT_API_AUTH_STRING.value(), PREFECT_API_KEY.value()
    try:
        httpx.get(f"{url}/health", timeout=PATIENCE)
        with SyncPrefectClient(url, auth_string=word, api_key=key) as client:
            client.request("GET", "/admin/version")
    except httpx.HTTPStatusError as error:
        if error.response.status_code == http.HTTPStatus.UNAUTHORIZED:
            raise ServiceError(
                f"The server {url} wants a password: set PREFECT_API_AUTH_STRING to its "
                "USER:PASSWORD. One that `sentiment up` made is in the file `password` of its "
                "folder."
            ) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        by_profile = "" if "PREFECT_API_URL" in os.environ else "prefect config "
        raise ServiceError(
            f"The server {url} does not answer ({error}). Start it, or use an ephemeral one: "
            f"{by_profile}unset PREFECT_API_URL"
        ) from error
    yield


def _start(listener: int) -> "subprocess.Popen[bytes]":
    # A terminal sends Ctrl-C to all its processes, `timeout` and systemd send SIGTERM. If the
    # server ended, Prefect's client would retry for a minute before the command could end.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        return subprocess.Popen(
            [sys.executable, "-P", __file__, str(listener)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=[listener],
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _wait_for(port: int) -> None:
    # The socket already listens; it answers once the server is up.
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", "/api/health")
        if connection.getresponse().status == http.HTTPStatus.OK:
            return
    except (OSError, http.client.HTTPException):
        pass
    finally:
        connection.close()
    raise ServiceError(
        "Prefect's ephemeral server failed to start. See its output above, or rerun with --debug. "
        "Or set PREFECT_API_URL to a server of yours (`sentiment up` starts one)."
    )


@contextmanager
def _stopped_without(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Interrupt the block when the server ends, and raise ServerEndedError then."""
    over, died = threading.Event(), threading.Event()

    def watch() -> None:
        process.wait()
        if over.is_set():
            return
        died.set()
        _stop_this_process()
        if over.wait(END_WITHIN):
            return
        # Prefect may be inside a request that it repeats for minutes, and so not hear.
        wait_for_stoppable_work()
        if not over.wait(1):
            sys.stderr.write(f"Error: {ENDED}\n")
            leave()

    threading.Thread(target=watch, name="watch of the server", daemon=True).start()
    try:
        yield
    except SentimentError:
        raise
    except BaseException as error:
        if not died.is_set():
            raise
        raise ServerEndedError from error
    finally:
        over.set()


def _stop_this_process() -> None:
    """Interrupt the main thread and end worker processes, without more words to the server."""
    from prefect.context import refresh_global_settings_context

    os.environ["PREFECT_CLIENT_MAX_RETRIES"] = "0"
    refresh_global_settings_context()
    if callable(signal.getsignal(signal.SIGTERM)):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
    for worker in multiprocessing.active_children():
        worker.terminate()


def leave() -> NoReturn:
    """Exit without Prefect's last words to its server, which it would repeat for seconds."""
    for worker in multiprocessing.active_children():
        worker.kill()
    _exit_function()  # ends multiprocessing as a normal exit does
    os._exit(1)


def _end(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin
    process.stdin.close()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def serve(listener: int) -> None:
    """Run the server until its parent process closes standard input or ends."""
    os.environ["PREFECT_UI_ENABLED"] = "false"
    import uvicorn
    from prefect.server.api.server import create_app

    app = create_app(ephemeral=True, final=True)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="on"))
    logging.getLogger("uvicorn.error").addFilter(_name_the_database)

    def watch() -> None:
        sys.stdin.buffer.read()
        server.should_exit = True

    threading.Thread(target=watch, daemon=True).start()
    with suppress(SystemExit):  # it failed to start, and has said why
        server.run(sockets=[socket.socket(fileno=listener)])
    os._exit(0)  # all is written; a normal exit takes another second


def _name_the_database(record: logging.LogRecord) -> bool:
    """Put it in plain words that the database is another Prefect's; alembic tells it in pages."""
    if "Can't locate revision" in record.getMessage():
        record.msg, record.args = OTHER_DATABASE, ()
    return True


if __name__ == "__main__":
    serve(int(sys.argv[1]))
