"""The server, its workers or all of it stop in mid-run, and start again."""

import os
import time
from collections.abc import Callable, Iterator

import pytest

from flows.server import processes
from tasks.store import Store
from tasks.store.run_records import record_lock
from tests.e2e.operation.conftest import started
from tests.e2e.operation.service import Service, until
from tests.support.servers import run_sentiment

LONG = ("train.epochs=100000", "train.checkpoint_every=10")
# Prefect renews a lease at 3/4 of its 300 s, and no setting changes that. Imported first by every
# Python process, this makes a run renew its lease every 3 s instead. The lease stays as long.
OFTEN = """
import importlib.abc
import importlib.util
import sys


class Often(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "prefect.concurrency._leases":
            sys.meta_path.remove(self)
            spec = importlib.util.find_spec(name)
            load = spec.loader.exec_module

            def exec_module(module):
                load(module)
                module._RENEWAL_FRACTION /= 75

            spec.loader.exec_module = exec_module
            return spec


sys.meta_path.insert(0, Often())
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose password `up` made, and whose runs renew their leases every 3 s."""
    folder = tmp_path_factory.mktemp("restart")
    (folder / "often").mkdir()
    (folder / "often" / "sitecustomize.py").write_text(OFTEN)
    paths = f"{folder / 'often'}:{os.environ.get('PYTHONPATH', '')}"
    with started(folder, PYTHONPATH=paths) as service:
        yield service


def test_a_run_outlives_a_restart_of_the_server(service: Service) -> None:
    def leases() -> set[float]:
        """Return when leases were renewed."""
        return {path.stat().st_mtime for path in service.folder.glob("concurrency_leases/*.json")}

    with record_lock(Store(service.storage)):  # as gc does; the run waits for it
        run = service.start("pipeline")
        service.wait(run, "Running")
        service.kill_server()
        service.up()
        back = time.time()
        until(
            "a renewal after the restart, or the run's end",
            lambda: max(leases(), default=0) > back or service.has_ended(run),
        )
    assert service.wait(run, "Completed").state_name == "Completed"


@pytest.mark.parametrize(
    ("stop", "reason"),
    [
        (Service.down, "stopped by `sentiment down`"),
        (Service.kill, "found dead by `sentiment up`"),
    ],
)
def test_the_run_after_a_stop_is_not_cancelled_because_of_the_one_that_it_ended(
    service: Service, stop: Callable[[Service], None], reason: str
) -> None:
    run = service.start("pipeline", *LONG)
    service.wait(run, "Running")
    until("its training", lambda: [*service.storage.glob("checkpoints/*/step-*")])
    stop(service)
    service.up()
    again = service.start("pipeline")
    service.wait(again, "Completed")
    ended = service.wait(run, "Crashed")
    assert ended.state and ended.state.message == reason


def test_commands_on_this_machine_know_the_password_and_nobody_else(service: Service) -> None:
    done = run_sentiment("deploy", PREFECT_API_URL=service.url)
    assert done.returncode == 0, done.stderr
    assert "deployed" in done.stdout
    assert service.folder.stat().st_mode & 0o777 == 0o700
    assert (service.folder / "password").stat().st_mode & 0o777 == 0o600
    shown = [done.stdout, done.stderr, *(log.read_text() for log in service.folder.glob("*.log"))]
    shown += [" ".join(process.cmdline()) for process in processes.ours(service.folder)]
    assert len(service.secret) > 20
    word = service.secret.removeprefix("sentiment:")
    told = [before[-400:] + "WORD" for text in shown for before in text.split(word)[:-1]]
    assert told == []
