"""``sentiment doctor`` looks at the storage folder without touching it, and tries out a URL."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows.cli.doctor import server, storage_at, writable
from tasks.store.objects import Objects
from tests.support.readonly import read_only


def test_a_folder_that_a_run_would_create_is_not_created(tmp_path: Path) -> None:
    check = writable(tmp_path / "new" / "storage")
    assert check.ok
    assert check.found == f"{tmp_path}/new/storage (a run creates it in {tmp_path})"
    assert list(tmp_path.iterdir()) == []


def test_a_storage_folder_is_left_as_it_is(tmp_path: Path) -> None:
    assert writable(tmp_path) == ("storage", True, str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with read_only(tmp_path):
        check = writable(tmp_path / "new")
    assert not check.ok
    assert f"{tmp_path} cannot be written" in check.found


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    check = writable(tmp_path / "file" / "storage")
    assert not check.ok
    assert f"{tmp_path}/file is not a folder" in check.found


def test_a_folder_that_cannot_be_entered_is_named(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o000)
    with read_only(tmp_path):
        check = writable(tmp_path / "locked" / "a" / "storage")
    assert not check.ok
    assert f"{tmp_path}/locked cannot be written" in check.found


def test_an_invalid_address_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://localhost:42OO/api")
    assert not server().ok


def test_a_url_is_tried_out(url: str) -> None:
    assert storage_at(url) == (
        "storage",
        True,
        f"{url}: read, write, list, delete, conditional writes",
    )
    assert [*Objects(url).list()] == []


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("s3://missing/a", "there is no such bucket"),
        ("ftp://host/a", "not supported"),
        ("s3://me:secret@bucket", "Credentials belong in the environment"),
    ],
)
def test_what_is_wrong_with_a_url_is_said(s3: str, place: str, why: str) -> None:
    check = storage_at(place)
    assert not check.ok
    assert why in check.found
    assert "secret" not in check.found


@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_clocks_that_are_apart_are_said(
    url: str, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    there = datetime.now(UTC) + timedelta(seconds=seconds)
    monkeypatch.setattr(Objects, "probe", lambda self: there)
    check = storage_at(url)
    assert not check.ok
    assert "clock and this machine's are 3,600 s apart" in check.found
