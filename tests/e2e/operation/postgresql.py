"""A PostgreSQL server for the tests, from the binaries that Debian installs."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGINT

from tests.e2e.operation.service import until
from tests.support.servers import free_port

PASSWORD = "staple-in-the-cellar"
USER = "postgres" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root


def binaries() -> Path:
    """Return the folder of PostgreSQL's programs, of the newest version."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    assert found, "PostgreSQL is not installed: apt-get install postgresql"
    return found[-1]


@contextmanager
def own_postgresql() -> Iterator[str]:
    """Run a server on a free port with an empty database; yield Prefect's URL for it.

    As in docs/operations.md, connections need the password.
    """
    programs, port = binaries(), str(free_port())
    folder = Path(tempfile.mkdtemp(prefix="postgresql-", dir="/tmp"))
    if USER:
        shutil.chown(folder, USER)
    given = folder / "password"
    given.write_text(PASSWORD)
    place = ["-h", "127.0.0.1", "-p", port]

    def run(program: str, *arguments: str) -> int:
        done = subprocess.run(
            [programs / program, *arguments],
            user=USER,
            cwd=folder,
            env={**os.environ, "PGPASSWORD": PASSWORD},
            capture_output=True,
            text=True,
        )
        return done.returncode

    guarded = ["-A", "scram-sha-256", "--pwfile", str(given)]
    assert run("initdb", "-D", str(folder / "data"), "-U", "prefect", *guarded) == 0
    process = subprocess.Popen(
        [programs / "postgres", "-D", folder / "data", "-k", folder, *place],
        user=USER,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until("PostgreSQL", lambda: run("pg_isready", *place) == 0)
        assert run("createdb", *place, "-U", "prefect", "prefect") == 0
        yield f"postgresql+asyncpg://prefect:{PASSWORD}@127.0.0.1:{port}/prefect"
    finally:
        process.send_signal(SIGINT)  # a fast shutdown
        process.wait()
        shutil.rmtree(folder)
