"""Prefect's temporary server, for a run from the command line that names no other server.

Left alone, Prefect's client imports the whole server into its own process before it starts another
one for it. Here that process starts first, and comes up while this one still imports.
"""

import atexit
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from sentiment.errors import ServiceError

PATIENCE = 90  # seconds for a machine that is busy


def prepare_prefect(*, debug: bool) -> None:
    """Set Prefect's defaults for a run from the command line; the user's own settings win."""
    for name, value in {
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "INFO" if debug else "CRITICAL",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING" if debug else "CRITICAL",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "90",
    }.items():
        os.environ.setdefault(name, value)


def start_server() -> Callable[[], AbstractContextManager[None]]:
    """Start a server, unless the environment names one; return the context in which to use it.

    Entering that context waits until the server is up, and raises ServiceError if it does not come
    up. The server ends when this process ends, whatever ends it.
    """
    if named := os.environ.get("PREFECT_API_URL"):
        return lambda: _named(named)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        process = _start(listener.fileno())
    # Before Prefect is imported, so that this comes after all that Prefect has to tell the server.
    atexit.register(_end, process)

    @contextmanager
    def use() -> Iterator[None]:
        from prefect.context import refresh_global_settings_context
        from prefect.settings import PREFECT_API_URL, PREFECT_SERVER_ALLOW_EPHEMERAL_MODE

        url = PREFECT_API_URL.value()
        if url or not PREFECT_SERVER_ALLOW_EPHEMERAL_MODE.value():
            _end(process)  # the user's profile says otherwise
            with _named(url) if url else nullcontext():
                yield
            return
        _wait_for(port)
        # For all threads and worker processes: one that did not know of it would start another.
        os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
        refresh_global_settings_context()
        try:
            yield
        finally:
            del os.environ["PREFECT_API_URL"]
            refresh_global_settings_context()

    return use


@contextmanager
def _named(url: str) -> Iterator[None]:
    """Use the server that somebody has named. Raises ServiceError where there is none."""
    import httpx

    try:
        httpx.get(f"{url}/health", timeout=PATIENCE)
    except httpx.HTTPError as error:
        raise ServiceError(
            f"The server {url} does not answer ({error}). Start it, or check PREFECT_API_URL: "
            "without it a run starts a temporary server."
        ) from error
    yield


def _start(listener: int) -> "subprocess.Popen[bytes]":
    # A terminal sends Ctrl-C to every process that was started from it. Without the server,
    # Prefect's client asks again for a minute before an interrupted command can end.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
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
    # It listens already, and answers once it is up.
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
        "Prefect's temporary server does not start. Its own words are above, or shown by --debug; "
        "or name a server of yours in PREFECT_API_URL (`sentiment up` starts one)."
    )


def _end(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin
    process.stdin.close()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def serve(listener: int) -> None:
    """Be the server, until whoever started it closes standard input or is gone."""
    os.environ["PREFECT_UI_ENABLED"] = "false"
    import uvicorn
    from prefect.server.api.server import create_app

    app = create_app(ephemeral=True, final=True)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="on"))

    def watch() -> None:
        sys.stdin.buffer.read()
        server.should_exit = True

    threading.Thread(target=watch, daemon=True).start()
    server.run(sockets=[socket.socket(fileno=listener)])
    os._exit(0)  # all is written, and taking the modules down takes another second


if __name__ == "__main__":
    serve(int(sys.argv[1]))
