"""Downloads from a local server that breaks off, sends wrong data and refuses."""

import base64
import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filelock import FileLock
from typer.testing import CliRunner

from flows.cli.main import app
from sentiment.data import download as module
from sentiment.data.download import Fetched, download
from sentiment.data.hubs import Hub, hugging_face, kaggle
from sentiment.data.reviews import Review
from sentiment.data.table_config import TableConfig
from sentiment.errors import DownloadError, StorageError
from tests.support.reviews import read_reviews

CONTENT = bytes(n * n % 251 for n in range(300_000))
NO_WAIT = (0.0, 0.0, 0.0)
TRAIN, TEST = "train.ft.txt.bz2", "test.ft.txt.bz2"


@dataclass
class Site:
    """What the server has and how it behaves; what it was asked is kept."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    listed: list[dict[str, object]] | None = None  # Hugging Face's list, made from files if None
    break_after: list[int] = field(default_factory=list)  # bytes of one answer after the other
    statuses: list[int] = field(default_factory=list)  # of the next answers, before any content
    ranges: bool = True
    md5: bool = False
    redirect: str | None = None  # where files really lie
    asked: list[tuple[str, str | None, str | None]] = field(default_factory=list)

    def listing(self) -> list[dict[str, object]]:
        if self.listed is not None:
            return self.listed
        return [
            {"path": "README.md", "size": 5, "type": "file"},
            *(
                {
                    "path": f"amazon_polarity/{name}",
                    "size": len(content),
                    "lfs": {"oid": hashlib.sha256(content).hexdigest()},
                }
                for name, content in self.files.items()
            ),
        ]

    def fetched(self) -> list[tuple[str, str | None]]:
        """The files asked for, each with the range."""
        return [(name, span) for name, span, _ in self.asked]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Server"

    def do_GET(self) -> None:
        site, parts = self.server.site, urlsplit(self.path)
        if parts.path.startswith("/api/datasets/"):
            return self._send(200, json.dumps(site.listing()).encode())
        name = parse_qs(parts.query).get("file_name", [parts.path.rpartition("/")[2]])[0]
        span = self.headers["Range"]
        site.asked.append((name, span, self.headers["Authorization"]))
        if site.statuses and (status := site.statuses.pop(0)) != 200:
            return self._send(status, b"no")
        if site.redirect:
            return self._send(302, b"", Location=f"{site.redirect}/{name}")
        content = site.files[name]
        headers = {}
        if site.md5:
            digest = base64.b64encode(hashlib.md5(content).digest()).decode()
            headers["x-goog-hash"] = f"crc32c=AAAAAA==,md5={digest}"
        if span and site.ranges:
            start = int(span.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                return self._send(416, b"", **{"Content-Range": f"bytes */{len(content)}"})
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            return self._send(206, content[start:], **headers)
        return self._send(200, content, **headers)

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        site = self.server.site
        if status in (200, 206) and site.break_after and site.asked:
            self.wfile.write(body[: site.break_after.pop(0)])
            self.close_connection = True
        else:
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    site: Site

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of connections that the other side has closed."""


@pytest.fixture
def make_site() -> Iterator[Callable[..., Site]]:
    servers = []

    def make(**given: object) -> Site:
        server = Server(("127.0.0.1", 0), Handler)
        server.site = Site(url=f"http://127.0.0.1:{server.server_port}", **given)  # type: ignore[arg-type]
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return server.site

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


def from_kaggle(site: Site, **environment: str) -> Hub:
    return kaggle({"KAGGLE_API_ENDPOINT": site.url, "KAGGLE_CONFIG_DIR": "/nowhere", **environment})


def from_hugging_face(site: Site, **environment: str) -> Hub:
    return hugging_face({"HF_ENDPOINT": site.url, "HF_HOME": "/nowhere", **environment})


def fetch(hub: Hub, folder: Path) -> list[Fetched]:
    return download(hub, folder, pauses=NO_WAIT)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "reviews"


def visible(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if not p.name.startswith(".")}


KAGGLE_SET = {TRAIN: CONTENT, TEST: CONTENT[::-1]}
PARQUET_SET = {"train-00000-of-00001.parquet": CONTENT, "test-00000-of-00001.parquet": b"x" * 99}


def test_kaggle_files_come_whole_with_their_md5(
    make_site: Callable[..., Site], folder: Path
) -> None:
    site = make_site(files=KAGGLE_SET, md5=True)
    fetched = fetch(from_kaggle(site), folder)
    assert visible(folder) == KAGGLE_SET
    assert [(f.path.name, f.checked, f.new) for f in fetched] == [
        (TRAIN, "md5", True),
        (TEST, "md5", True),
    ]


def test_hugging_face_files_come_whole_with_their_sha256(
    make_site: Callable[..., Site], folder: Path
) -> None:
    site = make_site(files=PARQUET_SET)
    fetched = fetch(from_hugging_face(site), folder)
    assert visible(folder) == PARQUET_SET
    assert {f.checked for f in fetched} == {"sha256"}


@pytest.mark.parametrize("hub", [from_kaggle, from_hugging_face])
def test_the_same_again_fetches_nothing(
    make_site: Callable[..., Site], folder: Path, hub: Callable[..., Hub]
) -> None:
    site = make_site(files=KAGGLE_SET if hub is from_kaggle else PARQUET_SET, md5=True)
    fetch(hub(site), folder)
    before = visible(folder)
    assert not any(file.new for file in fetch(hub(site), folder))
    assert visible(folder) == before


def test_a_damaged_file_is_fetched_again(make_site: Callable[..., Site], folder: Path) -> None:
    site = make_site(files=PARQUET_SET)
    fetch(from_hugging_face(site), folder)
    name = next(iter(PARQUET_SET))
    (folder / name).write_bytes(CONTENT[:-1] + b"!")
    assert [file.new for file in fetch(from_hugging_face(site), folder)] == [True, False]
    assert visible(folder) == PARQUET_SET


def test_a_broken_connection_resumes_where_it_stopped(
    make_site: Callable[..., Site], folder: Path
) -> None:
    # More breaks than attempts: each brings bytes, so none is the last.
    breaks = [50_000, 20_000, 30_000, 10_000, 1_000, 1_000]
    site = make_site(files=KAGGLE_SET, md5=True, break_after=list(breaks))
    fetch(from_kaggle(site), folder)
    assert visible(folder) == KAGGLE_SET
    starts = [sum(breaks[:n]) for n in range(1, len(breaks) + 1)]
    spans = [span for name, span in site.fetched() if name == TRAIN]
    assert spans == [None, *(f"bytes={start}-" for start in starts)]


def test_another_run_resumes_with_what_one_left(
    make_site: Callable[..., Site], folder: Path
) -> None:
    site = make_site(files=KAGGLE_SET, md5=True)
    folder.mkdir()
    (folder / f"{TRAIN}.part").write_bytes(CONTENT[:1234])
    fetch(from_kaggle(site), folder)
    assert (TRAIN, "bytes=1234-") in site.fetched()
    assert visible(folder) == KAGGLE_SET


@pytest.mark.parametrize("left", [CONTENT, CONTENT + b"more"])
@pytest.mark.parametrize("hub", [from_kaggle, from_hugging_face])
def test_a_part_that_is_whole_or_too_long_ends_well(
    make_site: Callable[..., Site], folder: Path, hub: Callable[..., Hub], left: bytes
) -> None:
    files = KAGGLE_SET if hub is from_kaggle else PARQUET_SET
    site = make_site(files=files, md5=True)
    folder.mkdir()
    (folder / f"{next(iter(files))}.part").write_bytes(left)
    fetch(hub(site), folder)
    assert visible(folder) == files


def test_a_part_of_another_version_is_found_out_and_downloaded_again(
    make_site: Callable[..., Site], folder: Path
) -> None:
    site = make_site(files=PARQUET_SET)
    folder.mkdir()
    (folder / f"{next(iter(PARQUET_SET))}.part").write_bytes(b"old version")
    fetch(from_hugging_face(site), folder)
    assert visible(folder) == PARQUET_SET


def test_a_server_that_ignores_ranges_starts_over(
    make_site: Callable[..., Site], folder: Path
) -> None:
    site = make_site(files=KAGGLE_SET, md5=True, ranges=False, break_after=[1000])
    fetch(from_kaggle(site), folder)
    assert visible(folder) == KAGGLE_SET


def test_a_connection_that_never_brings_a_byte_is_given_up(
    make_site: Callable[..., Site], folder: Path
) -> None:
    site = make_site(files=KAGGLE_SET, break_after=[700] + [0] * 9)
    with pytest.raises(DownloadError, match=r"Kaggle cannot be read .*to resume"):
        fetch(from_kaggle(site), folder)
    assert visible(folder) == {f"{TRAIN}.part": CONTENT[:700]}
    assert len(site.asked) == 1 + len(NO_WAIT)


def test_transient_statuses_are_retried(make_site: Callable[..., Site], folder: Path) -> None:
    site = make_site(files=KAGGLE_SET, statuses=[503, 429, 200, 500])
    fetch(from_kaggle(site), folder)
    assert visible(folder) == KAGGLE_SET


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, r"refused access \(401.*KAGGLE_USERNAME and KAGGLE_KEY"),
        (403, r"refused access \(403.*kaggle\.com/settings"),
        (404, r"has no http://.*\(404\).*see https://www\.kaggle\.com/datasets"),
        (418, r"answered 418"),
    ],
)
def test_a_refusal_says_what_to_do(
    make_site: Callable[..., Site], folder: Path, status: int, message: str
) -> None:
    site = make_site(files=KAGGLE_SET, statuses=[status])
    with pytest.raises(DownloadError, match=message):
        fetch(from_kaggle(site), folder)
    assert len(site.asked) == 1


def test_no_network_says_so(folder: Path) -> None:
    nowhere = Site(url="http://127.0.0.1:9")
    for hub in (from_kaggle(nowhere), from_hugging_face(nowhere)):
        with pytest.raises(DownloadError, match=r"cannot be read .*Check the network"):
            fetch(hub, folder)


def test_a_wrong_digest_leaves_nothing(make_site: Callable[..., Site], folder: Path) -> None:
    site = make_site(files=dict(PARQUET_SET))
    site.listed = site.listing()
    name = next(iter(PARQUET_SET))
    site.files[name] = CONTENT[:-1] + b"!"
    with pytest.raises(DownloadError, match=rf"{name} has the sha256 .* instead of"):
        fetch(from_hugging_face(site), folder)
    assert visible(folder) == {}


def test_a_wrong_size_leaves_nothing(make_site: Callable[..., Site], folder: Path) -> None:
    site = make_site(files=dict(PARQUET_SET))
    site.listed = site.listing()
    site.files[next(iter(PARQUET_SET))] = CONTENT + b"more"
    with pytest.raises(DownloadError, match=r"has 300,004 bytes instead of 300,000"):
        fetch(from_hugging_face(site), folder)
    assert visible(folder) == {}


def test_an_invalid_list_of_files_is_an_error(make_site: Callable[..., Site], folder: Path) -> None:
    for listed in ([], [{"path": "a.parquet"}]):
        with pytest.raises(DownloadError, match=r"lists no Parquet file|not the expected list"):
            fetch(from_hugging_face(make_site(listed=listed)), folder)


@pytest.mark.parametrize(
    ("environment", "sent"),
    [
        ({}, None),
        (
            {"KAGGLE_USERNAME": "ann", "KAGGLE_KEY": "secret"},
            f"Basic {base64.b64encode(b'ann:secret').decode()}",
        ),
        ({"KAGGLE_API_TOKEN": "t0"}, "Bearer t0"),
    ],
)
def test_credentials_go_to_the_hub_and_not_to_where_it_sends_on(
    make_site: Callable[..., Site], folder: Path, environment: dict[str, str], sent: str | None
) -> None:
    elsewhere = make_site(files=KAGGLE_SET, md5=True)
    site = make_site(redirect=elsewhere.url)
    fetch(from_kaggle(site, **environment), folder)
    assert {who for _, _, who in site.asked} == {sent}
    assert {who for _, _, who in elsewhere.asked} == {None}
    assert visible(folder) == KAGGLE_SET


def test_saved_credentials_are_used_if_the_environment_has_none(
    make_site: Callable[..., Site], tmp_path: Path
) -> None:
    (tmp_path / "kaggle.json").write_text('{"username": "ann", "key": "secret"}')
    (tmp_path / "token").write_text("t1\n")
    kept = {"KAGGLE_CONFIG_DIR": str(tmp_path), "HF_HOME": str(tmp_path)}
    basic = f"Basic {base64.b64encode(b'ann:secret').decode()}"
    for given, sent in (({}, basic), ({"KAGGLE_API_TOKEN": "t0"}, "Bearer t0")):
        site = make_site(files=KAGGLE_SET, md5=True)
        fetch(from_kaggle(site, **kept, **given), tmp_path / str(len(given)))
        assert {who for _, _, who in site.asked} == {sent}
    site = make_site(files=dict(PARQUET_SET))
    fetch(from_hugging_face(site, **kept), tmp_path / "hugging_face")
    assert {who for _, _, who in site.asked} == {"Bearer t1"}


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"username": "ann", "secret": "k3y"}', '{"key": 1}']
)
def test_damaged_credentials_are_an_error_that_repeats_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "kaggle.json").write_text(content)
    with pytest.raises(DownloadError, match=r"kaggle\.json: no Kaggle credentials") as raised:
        kaggle({"KAGGLE_CONFIG_DIR": str(tmp_path)})
    assert "k3y" not in str(raised.value)


def test_an_expired_signed_url_is_requested_again(
    make_site: Callable[..., Site], folder: Path
) -> None:
    elsewhere = make_site(files=KAGGLE_SET, statuses=[403])
    fetch(from_kaggle(make_site(redirect=elsewhere.url)), folder)
    assert visible(folder) == KAGGLE_SET


def test_a_file_in_a_zip_archive_is_unpacked(make_site: Callable[..., Site], folder: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(TRAIN, CONTENT)
    site = make_site(files={TRAIN: packed.getvalue(), TEST: CONTENT}, md5=True)
    fetch(from_kaggle(site), folder)
    assert visible(folder) == {TRAIN: CONTENT, TEST: CONTENT}


def test_a_folder_with_other_files_is_refused(make_site: Callable[..., Site], folder: Path) -> None:
    folder.mkdir()
    (folder / "train.csv").touch()
    with pytest.raises(DownloadError, match=r"other files \(train\.csv\)"):
        fetch(from_kaggle(make_site(files=KAGGLE_SET)), folder)


def test_two_downloads_into_one_folder_are_refused(
    make_site: Callable[..., Site], folder: Path
) -> None:
    folder.mkdir()
    with (
        FileLock(folder / ".download.lock"),
        pytest.raises(DownloadError, match="another download is running"),
    ):
        fetch(from_kaggle(make_site(files=KAGGLE_SET)), folder)


def test_too_little_space_is_an_error_before_the_download(
    make_site: Callable[..., Site], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(StorageError, match=r"300,000 bytes of .* only 1,000 are free"):
        fetch(from_kaggle(make_site(files=KAGGLE_SET)), folder)
    assert visible(folder) == {}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_an_error(make_site: Callable[..., Site], folder: Path) -> None:
    folder.mkdir()
    (folder / f"{TRAIN}.part").symlink_to("/dev/full")
    with pytest.raises(StorageError, match=r"cannot be written \(No space left on device\)"):
        fetch(from_kaggle(make_site(files=KAGGLE_SET)), folder)


def test_progress_reaches_the_whole(make_site: Callable[..., Site], folder: Path) -> None:
    heard: list[tuple[str, int, int | None]] = []
    site = make_site(files=KAGGLE_SET, break_after=[1000])
    download(from_kaggle(site), folder, listen=lambda *state: heard.append(state), pauses=NO_WAIT)
    assert heard[0][:2] == (TRAIN, 1000)
    assert heard[-1] == (TEST, len(CONTENT), len(CONTENT))
    assert {total for _, _, total in heard} == {len(CONTENT)}


def test_what_hugging_face_has_reads_as_reviews(
    make_site: Callable[..., Site], tmp_path: Path, folder: Path
) -> None:
    """Its columns are label (0 or 1), title and content."""
    table = pa.table({"label": [1, 0], "title": ["Warm", ""], "content": ["Soft too.", "Thin."]})
    pq.write_table(table, tmp_path / "made.parquet")
    content = (tmp_path / "made.parquet").read_bytes()
    site = make_site(files={"train-00000-of-00004.parquet": content})
    (file,) = fetch(from_hugging_face(site), folder)
    assert list(read_reviews(file.path, TableConfig(), max_bytes=1000)) == [
        Review(0, 1, "Warm: Soft too."),
        Review(1, 0, "Thin."),
    ]


def test_the_command_says_what_came_and_what_is_next(
    make_site: Callable[..., Site], folder: Path
) -> None:
    site = make_site(files=KAGGLE_SET, md5=True)
    environment = {"KAGGLE_API_ENDPOINT": site.url}
    arguments = ["download", str(folder), "--source", "kaggle"]
    first, again = (CliRunner().invoke(app, arguments, env=environment) for _ in range(2))
    assert (first.exit_code, again.exit_code) == (0, 0)
    assert f"{folder / TRAIN}  300,000 bytes, downloaded, checked by md5" in first.stdout
    assert again.stdout.count("already there") == 2
    assert f"sentiment run --preset balanced --data {folder}" in again.stdout
