"""Prefect's temporary server, for a run from the command line that names no other server."""

import signal
import threading
from concurrent.futures import Future
from contextvars import copy_context

from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import PREFECT_API_URL, PREFECT_SERVER_ALLOW_EPHEMERAL_MODE


def start_server() -> None:
    """Start the server where Prefect itself would, but deaf to Ctrl-C.

    A terminal interrupts every process that was started from it. Without the server, Prefect's
    client asks again for a minute before an interrupted command can end.
    """
    if PREFECT_API_URL.value() or not PREFECT_SERVER_ALLOW_EPHEMERAL_MODE.value():
        return
    started: Future[None] = Future()

    def start() -> None:
        # The server's process takes this over. Here it is for this thread alone.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            SubprocessASGIServer().start()
        except BaseException as error:  # raised where the result is asked for
            started.set_exception(error)
        else:
            started.set_result(None)

    run = copy_context().run  # with the caller's settings of Prefect
    threading.Thread(target=run, args=[start], name="start server", daemon=True).start()
    started.result()
