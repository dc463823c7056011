"""Bad input, from the outside: a clear error before training, and nothing lost or half written."""

import bz2
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sentiment.errors import ArchiveError, DataError, RejectRateError, StorageError
from tasks.run.spec import RunSpec
from tasks.store import Store
from tests.support.reviews import good_lines, write_bz2
from tests.support.runs import run_plainly

MakeSpec = Callable[..., RunSpec]


def leftovers(storage: Path) -> list[Path]:
    """Return what an interrupted or failed stage might leave half done."""
    return [path for path in storage.glob("*/.*") if path.parent.name != "locks"]


def test_a_missing_folder(make_spec: MakeSpec, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        run_plainly(make_spec(tmp_path / "nowhere"))


def test_a_folder_without_a_training_file(make_spec: MakeSpec, data: Path) -> None:
    (data / "train.ft.txt.bz2").unlink()
    with pytest.raises(DataError, match="no training file"):
        run_plainly(make_spec(data))


def test_the_same_file_compressed_and_uncompressed(make_spec: MakeSpec, data: Path) -> None:
    (data / "train.ft.txt").write_bytes(bz2.decompress((data / "train.ft.txt.bz2").read_bytes()))
    with pytest.raises(DataError, match="compressed and uncompressed"):
        run_plainly(make_spec(data))


def test_a_file_that_is_not_bz2(make_spec: MakeSpec, data: Path) -> None:
    (data / "train.ft.txt.bz2").write_bytes(b"__label__1 plain text, not compressed\n")
    with pytest.raises(ArchiveError, match=r"train\.ft\.txt\.bz2: not valid bz2 data near byte 0"):
        run_plainly(make_spec(data))


def test_a_truncated_file_names_the_byte(make_spec: MakeSpec, data: Path) -> None:
    path = data / "train.ft.txt.bz2"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ArchiveError, match=f"truncated.*at byte {len(content) // 2:,}"):
        run_plainly(make_spec(data))
    assert leftovers(make_spec(data).store.root) == []


BAD_LINES = {
    "no label": b"a review without a label",
    "unknown label": b"__label__3 neither good nor bad",
    "white space before the label": b"\t__label__1 a tab in front",
    "byte order mark before the label": b"\xef\xbb\xbf__label__1 a mark in front",
    "invalid UTF-8": b"__label__2 caf\xe9 in Latin-1",
    "empty text": b"__label__2  ",
    "longer than 262,144 bytes": b"__label__2 " + b"long " * 200_000,
}


def test_bad_lines_are_kept_with_their_reason(make_spec: MakeSpec, data: Path) -> None:
    lines = good_lines(60)
    for place, bad in enumerate(BAD_LINES.values()):
        lines.insert(5 * place + 2, bad)
    write_bz2(data / "train.ft.txt.bz2", lines)
    spec = make_spec(data, "ingest.max_reject_rate=0.2")
    done = run_plainly(spec, until="ingest")
    manifest = next(m for m in done["ingest"] if m.label.startswith("train"))
    assert manifest.stats["rejected"] == dict.fromkeys(sorted(BAD_LINES), 1)
    assert manifest.stats["read"] == 67
    rejects = pq.read_table(spec.store.root / manifest.output("rejects.parquet").path).to_pylist()
    assert [(r["reason"], r["bytes"]) for r in rejects] == list(BAD_LINES.items())
    assert [lines[r["row"]] for r in rejects] == list(BAD_LINES.values())


def test_too_many_bad_lines_stop_the_run_and_are_kept(make_spec: MakeSpec, data: Path) -> None:
    write_bz2(data / "train.ft.txt.bz2", [*good_lines(60), *BAD_LINES.values()])
    spec = make_spec(data)
    with pytest.raises(RejectRateError, match="7 of 67 lines rejected") as caught:
        run_plainly(spec)
    (kept,) = (spec.store.root / "failed").rglob("rejects.parquet")
    assert str(kept) in str(caught.value)
    assert pq.read_table(kept)["bytes"].to_pylist() == list(BAD_LINES.values())
    assert leftovers(spec.store.root) == []


def test_windows_line_ends_and_no_final_newline_are_fine(make_spec: MakeSpec, data: Path) -> None:
    plain = run_plainly(make_spec(data), until="ingest")["ingest"]
    content = bz2.decompress((data / "train.ft.txt.bz2").read_bytes())
    windows = content.replace(b"\n", b"\r\n").removesuffix(b"\r\n")
    (data / "train.ft.txt.bz2").write_bytes(bz2.compress(windows))
    again = run_plainly(make_spec(data), until="ingest")["ingest"]
    assert [o.sha256 for m in plain for o in m.outputs] == [
        o.sha256 for m in again for o in m.outputs
    ]


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("train", [], "train split has no valid review"),
        ("train", good_lines(60)[::2], "none is positive"),
        ("train", good_lines(60)[1::2], "none is negative"),
        ("test", [], "validation split has no valid review"),
        ("test", [b"no label here"], "lines rejected"),
    ],
)
def test_useless_data_is_refused_before_training(
    make_spec: MakeSpec, data: Path, name: str, lines: list[bytes], message: str
) -> None:
    write_bz2(data / f"{name}.ft.txt.bz2", lines)
    spec = make_spec(data)
    with pytest.raises(DataError, match=message):
        run_plainly(spec)
    assert not (spec.store.root / "tokenize").exists()


def test_storage_that_cannot_be_written(data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match=r"file/storage.*cannot be written"):
        Store(tmp_path / "file" / "storage").prepare()


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file grow beyond a size, as on a full disk; Python sees an OSError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("stage", ["ingest", "tokenize", "vocabulary", "tensors", "train"])
def test_a_full_disk_leaves_nothing_half_written(
    make_spec: MakeSpec, data: Path, stage: str
) -> None:
    spec = make_spec(data)
    names = ["ingest", "tokenize", "vocabulary", "tensors", "train"]
    if stage != "ingest":
        run_plainly(spec, until=names[names.index(stage) - 1])
    with largest_file(200), pytest.raises(StorageError, match="cannot be written"):
        run_plainly(spec, until=stage)
    assert leftovers(spec.store.root) == []
    assert not any((spec.store.root / stage).glob("*"))
    run_plainly(spec, until=stage)
