"""``sentiment doctor`` looks at the storage folder without touching it."""

from pathlib import Path

from flows.cli.doctor import writable
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
