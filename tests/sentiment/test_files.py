"""Files that appear whole or not at all."""

import errno
from pathlib import Path

import pytest
from safetensors import SafetensorError

from sentiment.files import advice, file_state, is_in_state, replacing


def test_the_new_content_appears_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("before")
    with replacing(path) as unfinished:
        unfinished.write_text("after")
        assert path.read_text() == "before"
    assert path.read_text() == "after"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_keeps_the_old_content_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("before")
    with pytest.raises(KeyboardInterrupt), replacing(path) as unfinished:
        unfinished.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_right_after_another_one_changes_the_state(tmp_path: Path) -> None:
    """The clock of a file's time has coarse ticks."""
    path = tmp_path / "file"
    for _ in range(20):
        path.write_bytes(b"1")
        state = file_state(path)
        assert is_in_state(path, state)
        path.write_bytes(b"2")
        assert not is_in_state(path, state)


def test_a_file_that_is_gone_is_in_no_state(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("1")
    state = file_state(path)
    path.unlink()
    assert not is_in_state(path, state)


FULL = "Error while serializing: I/O error: No space left on device (os error 28)"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "full"), "Free some space, or choose another folder."),
        (OSError(errno.EDQUOT, "quota"), "Free some space, or choose another folder."),
        (SafetensorError(FULL), "Free some space, or choose another folder."),
        (OSError(errno.EACCES, "no"), "Allow this user to write there, or choose another folder."),
        (OSError(errno.EROFS, "read-only"), "Choose another folder."),
        (OSError(errno.EIO, "broken"), "Choose another folder."),
        (SafetensorError("broken"), "Choose another folder."),
    ],
)
def test_the_advice_fits_the_error(error: Exception, expected: str) -> None:
    assert advice(error, "choose another folder") == expected


def test_too_many_open_files_are_no_fault_of_the_folder() -> None:
    assert advice(OSError(errno.EMFILE, "many"), "choose another folder").startswith("Allow more")
