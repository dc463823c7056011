"""Objects on S3: what is promised of them, one at a time, in races, and with faults on the way."""

import copy
import errno
import hashlib
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from sentiment.errors import ConfigError, StorageError
from tasks.store import objects as module
from tasks.store.objects import Objects
from tests.support.s3 import BUCKET, Faults, environment, faults


@pytest.fixture
def objects(url: str) -> Objects:
    return Objects(url)


@pytest.fixture
def faulty(
    s3: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Objects, Objects, Faults]]:
    """Objects through a server that makes faults, and the same ones without it."""
    direct = Objects(url)
    assert direct.get("nothing") is None  # so that its client has the server's own address
    monkeypatch.setitem(module.RETRIES, "max_retries", 3)
    monkeypatch.setitem(module.CLIENT, "read_timeout", timedelta(seconds=0.5))
    with faults(s3) as (address, made):
        for name, value in environment(address).items():
            monkeypatch.setenv(name, value)
        yield Objects(url), direct, made


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_what_was_put_is_got(objects: Objects, tmp_path: Path) -> None:
    assert objects.get("a/b.txt") is None
    assert objects.look("a/b.txt") is None
    objects.put("a/b.txt", b"calm")
    seen = objects.get("a/b.txt")
    assert seen is not None and seen.content == b"calm"
    assert [objects.look("a/b.txt")] == [*objects.list()]
    assert objects.look("a/b.txt").size == 4  # type: ignore[union-attr]
    assert objects.fetch("a/b.txt", tmp_path / "b") == sha256(b"calm")
    assert (tmp_path / "b").read_bytes() == b"calm"
    objects.put("a/b.txt", b"wild")
    assert objects.fetch("a/b.txt") == sha256(b"wild")
    with pytest.raises(FileNotFoundError):
        objects.fetch("a/c.txt")


def test_a_large_file_goes_and_comes_in_pieces(objects: Objects, tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(os.urandom(11_000_000))
    objects.put("large", path)
    assert objects.fetch("large", tmp_path / "back") == sha256(path.read_bytes())
    assert (tmp_path / "back").read_bytes() == path.read_bytes()


def test_a_list_has_what_is_in_the_folder_only(objects: Objects) -> None:
    for path in ("train/b/x", "train/a", "trains/c", "other"):
        objects.put(path, b"1234")
    assert [listed.path for listed in objects.list("train")] == ["train/a", "train/b/x"]
    assert [listed.size for listed in objects.list()] == [4] * 4
    assert [*objects.list("none")] == []
    objects.remove(["train/a", "train/gone", "other"])
    assert [listed.path for listed in objects.list()] == ["train/b/x", "trains/c"]


def test_the_first_to_create_wins(objects: Objects) -> None:
    assert objects.create("a", b"mine")
    assert objects.create("a", b"mine")  # nothing else is there
    assert not objects.create("a", b"yours")
    assert objects.get("a").content == b"mine"  # type: ignore[union-attr]


def test_a_swap_needs_the_present_tag(objects: Objects) -> None:
    assert objects.swap("a", b"1", None)
    assert not objects.swap("a", b"2", None)
    tag = objects.get("a").tag  # type: ignore[union-attr]
    assert objects.swap("a", b"2", tag)
    assert not objects.swap("a", b"3", tag)
    assert not objects.swap("gone", b"3", tag)
    assert objects.get("a").content == b"2"  # type: ignore[union-attr]


def test_of_many_that_create_one_wins(objects: Objects) -> None:
    with ThreadPoolExecutor(8) as pool:
        for round in range(5):
            made = pool.map(lambda n, r=round: objects.create(f"{r}", b"%d" % n), range(8))
            winners = [n for n, won in enumerate(made) if won]
            assert len(winners) == 1
            assert objects.get(f"{round}").content == b"%d" % winners[0]  # type: ignore[union-attr]


def test_of_many_that_change_an_object_none_is_lost(objects: Objects) -> None:
    def add(number: int) -> None:
        while True:
            seen = objects.get("list")
            content = (seen.content if seen else b"") + b"%d " % number
            if objects.swap("list", content, seen and seen.tag):
                return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(24)))
    seen = objects.get("list")
    assert seen is not None and sorted(map(int, seen.content.split())) == list(range(24))


def test_another_process_makes_a_client_of_its_own(objects: Objects) -> None:
    objects.put("a", b"1")
    assert copy.deepcopy(objects).get("a").content == b"1"


def test_a_server_that_keeps_the_rules_passes_the_probe(objects: Objects) -> None:
    assert objects.probe().tzinfo is not None
    assert [*objects.list()] == []


def test_a_server_that_ignores_conditions_does_not(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As some gateways do: they answer 200 to what should be refused."""

    def put_anyway(self: Objects, path: str, content: bytes, mode: object) -> bool:
        self.put(path, content)
        return True

    monkeypatch.setattr(Objects, "_put_if", put_anyway)
    with pytest.raises(StorageError, match=r"ignores If-None-Match.*docs/scale\.md"):
        objects.probe()
    assert [*objects.list()] == []


@pytest.mark.parametrize("fault", ["503", "slow", "cut", "lost", "dead"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_transient_failure_changes_nothing(
    faulty: tuple[Objects, Objects, Faults], tmp_path: Path, fault: str, place: int
) -> None:
    through, direct, made = faulty
    made.fault = lambda number, method, path: fault if number == place else None
    content = os.urandom(300_000)
    assert through.create("a", content)
    seen = through.get("a")
    assert seen is not None and seen.content == content
    assert through.swap("a", content[::-1], seen.tag)
    assert through.fetch("a", tmp_path / "a") == sha256(content[::-1])
    assert [listed.path for listed in through.list()] == ["a"]
    through.remove(["a"])
    assert direct.get("a") is None


@pytest.mark.parametrize("fault", ["503", "dead"])
def test_a_fault_that_stays_is_one_plain_error(
    faulty: tuple[Objects, Objects, Faults], tmp_path: Path, fault: str
) -> None:
    through, direct, made = faulty
    direct.put("a", b"1")
    made.fault = lambda number, method, path: fault
    large = tmp_path / "large"
    large.write_bytes(bytes(6_000_000))
    for act in (
        lambda: through.get("a"),
        lambda: through.put("a", b"2"),
        lambda: through.put("a", large),
        lambda: through.create("b", b"2"),
        lambda: through.fetch("a"),
        lambda: [*through.list()],
    ):
        with pytest.raises(
            StorageError, match=r"^s3://\S+: the storage does not answer \("
        ) as caught:
            act()
        assert "Run the same command again" in str(caught.value)
        assert "\n" not in str(caught.value)
        assert caught.value.__cause__.errno == errno.ETIMEDOUT  # type: ignore[union-attr]
    assert direct.get("a").content == b"1"  # type: ignore[union-attr]
    assert [listed.path for listed in direct.list()] == ["a"]


def test_files_are_those_directly_under_a_url(objects: Objects) -> None:
    assert objects.files() is None
    objects.put("a/b.txt", b"1")
    assert objects.files() == []
    objects.put("c.txt", b"12")
    assert [(file.path, file.size) for file in objects.files() or ()] == [("c.txt", 2)]


def test_what_has_to_be_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(ConfigError, match=r"s3://bucket: needs obstore: pip install .*\[cloud\]"):
        Objects("s3://bucket")


def test_no_connection_is_one_plain_error(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(module.RETRIES, "max_retries", 1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(StorageError, match="does not answer"):
        Objects(url).get("a")


def test_a_bucket_that_is_not_there(s3: str, tmp_path: Path) -> None:
    missing = Objects("s3://missing/a")
    for act in (
        lambda: missing.put("a", b"1"),
        lambda: missing.create("a", b"1"),
        missing.probe,
    ):
        with pytest.raises(StorageError, match=r"^s3://missing/a: there is no such bucket"):
            act()
    with pytest.raises(StorageError, match=r"refuses the request \(404 Not Found, NoSuchBucket\)"):
        list(missing.list())


def test_a_denied_request_says_what_to_check(
    faulty: tuple[Objects, Objects, Faults],
) -> None:
    through, _, made = faulty
    made.fault = lambda number, method, path: "403"
    with pytest.raises(StorageError, match=r"access denied\. Check the credentials") as caught:
        through.get("a")
    assert isinstance(caught.value.__cause__, PermissionError)
    assert f"s3://{BUCKET}/" in str(caught.value)
