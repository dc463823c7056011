"""An object storage for tests: moto's server, and a proxy before it that makes faults."""

import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import sleep

from tasks.store import Store
from tasks.store.remote import publish
from tests.support.servers import end, free_port, wait_for

BUCKET, KEY, SECRET = "tests", "a-key", "a-secret"


@contextmanager
def s3_server() -> Iterator[str]:
    """Run moto's S3 server on this machine, with one empty bucket; yield its address."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with running(sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)):
        wait_for(f"{address}/moto-api/data.json")
        request = urllib.request.Request(f"{address}/{BUCKET}", method="PUT")
        with urllib.request.urlopen(request, timeout=10):
            pass
        yield address


@contextmanager
def wanted_server(folder: Path) -> Iterator[str]:
    """Run the server that S3_SERVER names, moto or seaweedfs; yield its address."""
    wanted = os.environ.get("S3_SERVER", "moto")
    with seaweedfs(folder) if wanted == "seaweedfs" else s3_server() as address:
        yield address


@contextmanager
def seaweedfs(folder: Path) -> Iterator[str]:
    """Run SeaweedFS, a storage that people use, on a folder; yield the address of its S3."""
    keys = {"accessKey": KEY, "secretKey": SECRET}
    users = {"identities": [{"name": "tests", "credentials": [keys], "actions": ["Admin"]}]}
    (folder / "users.json").write_text(json.dumps(users))
    servers = ("master", "volume", "filer", "s3")
    ports = {f"-{name}.{kind}": free_port() for name in servers for kind in ("port", "port.grpc")}
    address = f"http://127.0.0.1:{ports['-s3.port']}"
    options = [
        "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder}", "-master.telemetry=false",
        "-master.volumeSizeLimitMB=64", "-filer", "-s3", f"-s3.config={folder / 'users.json'}",
        "-s3.port.iceberg=0", "-s3.port.lance=0",
        *(f"{name}={port}" for name, port in ports.items()),
    ]  # fmt: skip
    with running(str(Path(sys.executable).with_name("weed")), "server", *options):
        wait_for(f"{address}/status")
        yield address


@contextmanager
def running(*command: str, **env: str) -> Iterator[None]:
    """Run a server until the end of the block."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "no_proxy": "*", **env},
    )
    try:
        yield
    finally:
        end(process)


def environment(address: str) -> dict[str, str]:
    """Return the environment with which clients use the server at an address."""
    return {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
        "no_proxy": "*",
    }


def upload(store: Store, url: str) -> None:
    """Put what a store in a folder holds into remote storage, as runs there would have."""
    there = Store.at(url)
    there.prepare()
    assert there.objects is not None
    for stage in sorted(path.name for path in store.root.iterdir() if path.is_dir()):
        for manifest in store.results(stage):
            publish(there.objects, store.root, manifest)
    for pattern in ("runs/*/run.json", "models/*.json", "train/*/README.md"):
        for path in store.root.glob(pattern):
            there.objects.put(path.relative_to(store.root).as_posix(), path)
    if latest := store.target("models/latest"):
        there.objects.put("models/latest", latest.encode())


Fault = Callable[[int, str, str], str | None]


class Faults:
    """What a server before another one does to the requests that it hands on.

    ``fault(number, method, path)`` is asked about each request, numbered from 0 on, and returns
    "403" or "503"; "slow" (answered a second late); "cut" (half of the answer's body); "lost"
    (done, but not answered); "dead" (neither done nor answered); or None.
    """

    def __init__(self, address: str) -> None:
        self.target = address.removeprefix("http://")
        self.fault: Fault = lambda number, method, path: None
        self.requests: list[tuple[str, str]] = []
        self.lock = threading.Lock()


@contextmanager
def faults(address: str) -> Iterator[tuple[str, Faults]]:
    """Run a server that makes faults before the one at an address; yield its own address."""
    faults = Faults(address)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            with faults.lock:
                number = len(faults.requests)
                faults.requests.append((self.command, self.path))
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fault = faults.fault(number, self.command, self.path)
            if fault == "dead":
                self.close_connection = True
                return
            if fault in ("403", "503"):
                self.answer(int(fault), {}, b"")
                return
            upstream = HTTPConnection(faults.target, timeout=30)
            upstream.request(self.command, self.path, body, dict(self.headers))
            answer = upstream.getresponse()
            content = answer.read()
            upstream.close()
            if fault == "slow":
                sleep(1)
            if fault == "lost":
                self.close_connection = True
                return
            self.answer(answer.status, dict(answer.getheaders()), content, cut=fault == "cut")

        def answer(
            self, status: int, headers: dict[str, str], content: bytes, *, cut: bool = False
        ) -> None:
            self.send_response_only(status)
            headers = {n: v for n, v in headers.items() if n.lower() != "transfer-encoding"}
            if self.command != "HEAD":
                headers = {n: v for n, v in headers.items() if n.lower() != "content-length"}
                headers["Content-Length"] = str(len(content))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if cut else content)
            if cut:
                self.close_connection = True

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Say nothing of clients that went away."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", faults
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
