"""Which files are read as what: tables, packed tables, and what is refused in words."""

import gzip
import io
import lzma
import pickle
import random
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from sentiment.data.reviews import Review
from sentiment.data.table_config import TableConfig
from sentiment.errors import ArchiveError, DataError
from sentiment.scoring.inputs import ScoreConfig, open_input
from tests.support.reviews import read_reviews

TABLE = "label,text\n1,Warm\n0,Thin\n"
REVIEWS = [Review(0, 1, "Warm"), Review(1, 0, "Thin")]


def trained_on(path: Path, **settings: Any) -> list[Any]:
    return list(read_reviews(path, TableConfig.model_validate(settings), max_bytes=10_000))


def scored(path: Path, **settings: Any) -> list[str | None]:
    config = ScoreConfig.model_validate(settings)
    return [entry.text for entry in open_input(path, config).entries]


def zipped(path: Path, **members: str | bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def read_by(path: Path) -> list[Callable[[], Any]]:
    return [lambda: trained_on(path), lambda: scored(path)]


@pytest.mark.parametrize(
    "members",
    [
        {"reviews.csv": TABLE},
        {"folder/": "", "folder/reviews.csv": TABLE},
        {"reviews.csv": TABLE, "__MACOSX/._reviews.csv": b"\0\5", ".DS_Store": b"\0"},
        {"reviews.csv": TABLE, "README.md": "About", "LICENSE.txt": "MIT"},
        {"reviews.tsv": TABLE.replace(",", "\t")},
        {"train.ft.txt": "__label__2 Warm\n__label__1 Thin\n"},
    ],
)
def test_a_zip_file_with_one_table_is_read(tmp_path: Path, members: dict[str, Any]) -> None:
    path = zipped(tmp_path / "Reviews.ZIP", **members)
    assert trained_on(path) == REVIEWS
    assert scored(path) == ["Warm", "Thin"]


@pytest.mark.parametrize(
    ("members", "shown"),
    [
        (
            {"a.csv": TABLE, "b.csv": TABLE},
            "holds 2 files, not one table: a.csv, b.csv. Extract it",
        ),
        ({}, r"holds 0 files, not one table\. Extract it"),
        ({f"{n}.csv": TABLE for n in range(99)}, r"holds 99 files.*: 0.csv, 1.csv,.*9.csv, \.\.\."),
        ({"a.parquet": b"PAR1"}, "compressed inside"),
        ({"a.xlsx": b"PK"}, "a spreadsheet"),
        ({"a.csv.gz": gzip.compress(b"text\n")}, "compressed with gzip"),
        ({"a.csv": ""}, r"a\.csv in it is empty"),
    ],
)
def test_other_zip_files_are_refused(tmp_path: Path, members: dict[str, Any], shown: str) -> None:
    path = zipped(tmp_path / "reviews.zip", **members)
    for read in read_by(path):
        with pytest.raises(DataError, match=rf"^{path}: .*{shown}"):
            read()


def test_a_damaged_zip_file_never_gives_other_rows(tmp_path: Path) -> None:
    rows = "".join(f"1,Number {n * n}\n" for n in range(2_000))
    whole = zipped(tmp_path / "whole.zip", **{"reviews.csv": f"label,text\n{rows}"}).read_bytes()
    expected = trained_on(tmp_path / "whole.zip")
    path, refused = tmp_path / "broken.zip", 0
    places = range(30, len(whole) - 120, 97)
    for place in places:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 85]) + whole[place + 1 :])
        try:
            assert trained_on(path) == expected
        except ArchiveError:
            refused += 1
    assert refused > 0.9 * len(places)
    path.write_bytes(whole[:-30])
    with pytest.raises(ArchiveError, match="not a valid zip file, or cut off"):
        trained_on(path)


def test_a_member_whose_name_is_damaged_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", **{"r\u00e9views.csv": TABLE})
    path.write_bytes(path.read_bytes().replace("\u00e9".encode(), b"\xc3("))
    for read in read_by(path):
        with pytest.raises(ArchiveError, match="not a valid zip file"):
            read()


def test_a_member_with_a_password_is_refused(tmp_path: Path) -> None:
    content = bytearray(zipped(tmp_path / "a.zip", **{"a.csv": TABLE}).read_bytes())
    content[6] |= 1  # the flag that says so, in the member's head and in the directory
    content[content.index(b"PK\1\2") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.zip: cannot be extracted .*password"):
        trained_on(tmp_path / "a.zip")


def test_xz_is_read(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv.xz"
    path.write_bytes(lzma.compress(TABLE.encode()))
    assert (trained_on(path), scored(path)) == (REVIEWS, ["Warm", "Thin"])


def tar(suffix: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w{suffix}") as archive:  # type: ignore[call-overload]
        archive.addfile(tarfile.TarInfo("reviews.csv"), io.BytesIO())
    return buffer.getvalue()


def parquet() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": ["Warm"]}), sink)
    return bytes(sink.getvalue())


def arrow() -> bytes:
    sink = pa.BufferOutputStream()
    feather.write_feather(pa.table({"text": ["Warm"]}), sink)
    return bytes(sink.getvalue())


NOISE = random.Random(1).randbytes(5_000)
CONTENTS = {
    "a zip file": lambda: b"PK\x03\x04" + NOISE,
    "a spreadsheet": lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + NOISE,
    "a document": lambda: b"%PDF-1.7\n" + NOISE,
    "an archive of several files": lambda: tar(""),
    "compressed with gzip": lambda: gzip.compress(NOISE),
    "compressed with xz": lambda: lzma.compress(NOISE),
    "an image": lambda: b"\x89PNG\r\n\x1a\n" + NOISE,
    "a pickle": lambda: pickle.dumps({"text": ["Warm"]}),
    "a Parquet file": parquet,
    "a binary table": arrow,
    "binary, not text": lambda: NOISE,
}


@pytest.mark.parametrize("name", ["new.txt", "new.csv", "new.tsv", "new.jsonl", "new", "new.log"])
@pytest.mark.parametrize("what", CONTENTS)
def test_what_is_no_text_is_refused_whatever_its_name(tmp_path: Path, name: str, what: str) -> None:
    path = tmp_path / name
    path.write_bytes(CONTENTS[what]())
    for read in read_by(path):
        with pytest.raises(DataError, match=rf"^{path}: cannot be read: its content is {what}"):
            read()


def test_a_word_in_the_place_of_an_archives_mark_is_text(tmp_path: Path) -> None:
    path = tmp_path / "new.ft.txt"
    path.write_text(f"__label__2 {'a' * 244} mustard\n")
    assert path.read_bytes()[257:262] == b"ustar"
    assert len(trained_on(path)) == 1


def test_a_packed_archive_of_files_is_refused(tmp_path: Path) -> None:
    for name, content in (("a.tar.gz", tar(":gz")), ("a.tgz", tar(":gz")), ("a.gz", tar(":gz"))):
        path = tmp_path / name
        path.write_bytes(content)
        for read in read_by(path):
            with pytest.raises(DataError, match=rf"^{path}: cannot be read: .*several files"):
                read()


@pytest.mark.parametrize("name", ["a.xlsx", "a.PDF", "a.xls.gz", "a.pkl", "a.png", "a.feather"])
def test_names_of_other_formats_are_refused_whatever_their_content(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(b"text\nWarm\n") if name.endswith("gz") else b"text\nWarm\n")
    for read in read_by(path):
        with pytest.raises(DataError, match=rf"^{path}: cannot be read: an? "):
            read()


@pytest.mark.parametrize(
    "content",
    [
        '[{"text": "Warm"}]',
        '\n[\n{"text": "Warm"},\n{"text": "Thin"}\n]',
        '[\n  {\n    "text": 1\n',
    ],
)
def test_a_json_array_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "reviews.json"
    path.write_text(content)
    for read in read_by(path):
        with pytest.raises(DataError, match=r"a JSON array\. Write one object per line"):
            read()


@pytest.mark.parametrize("text", ["a NUL \x00 inside", "caf\xe9 \x1b[31m", "\x00\x00", "BZh9 PAR1"])
def test_unusual_texts_are_still_texts(tmp_path: Path, text: str) -> None:
    path = tmp_path / "new.txt"
    path.write_bytes(f"{text}\n".encode("latin-1") * 50)
    assert scored(path, encoding="latin-1") == [text] * 50
