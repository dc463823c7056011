"""Every row of every kind of file becomes an entry: a text, or the reason why there is none."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sentiment.errors import DataError
from sentiment.scoring.inputs import OTHER, Entry, ScoreConfig, open_input


def entries(path: Path, **settings: Any) -> list[Entry]:
    return list(open_input(path, ScoreConfig(**settings)).entries)


def texts(path: Path, **settings: Any) -> list[str | None]:
    return [entry.text for entry in entries(path, **settings)]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_fasttext_label_is_not_part_of_the_text(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.txt",
        "__label__1 Bad: it broke\n__label__2\tGood\n__label__3 So so\n"
        "no label at all\n__label__2\n",
    )
    assert entries(path) == [
        Entry("Bad: it broke", None, 0, "__label__1"),
        Entry("Good", None, 1, "__label__2"),
        Entry("So so", None, OTHER, "__label__3"),
        Entry("no label at all", None, None),
        Entry(None, "empty text", 1, "__label__2"),
    ]


def test_labels_of_lines_may_be_in_any_case(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "__label__Bad Thin\n__label__GOOD Warm\n__label__1 Odd\n")
    found = entries(path, labels={"negative": "Bad", "positive": "Good"})
    assert [(entry.label, entry.text) for entry in found] == [
        (0, "Thin"),
        (1, "Warm"),
        (OTHER, "Odd"),
    ]


def test_a_column_to_keep_makes_no_row_too_long(tmp_path: Path) -> None:
    columns = {"text": ["Warm", "x" * 60], "notes": ["n" * 500, ""]}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    for keep in ((), ("notes",)):
        found = entries(tmp_path / "a.parquet", keep=keep, max_bytes=50)
        assert [entry.reason for entry in found] == [None, "longer than 50 bytes"]


def test_a_byte_order_mark_is_not_text(tmp_path: Path) -> None:
    assert texts(write(tmp_path / "a.txt", "\ufeffGood\nBad\r\n")) == ["Good", "Bad"]
    assert texts(write(tmp_path / "a.csv", "\ufefftext\nGood\n")) == ["Good"]
    assert texts(write(tmp_path / "a.jsonl", '\ufeff{"text": "Good"}\n')) == ["Good"]


def test_json_lines_keep_their_faults(tmp_path: Path) -> None:
    lines = [
        b"{not json", b'{"text": "Good", "stars": 5}', b'["text"]', b"", b'{"text": null}', b"{}",
        b'{"text": 7}', b'{"text": "caf\xe9"}', b'{"text": "\\ud800"}', b'{"text": " "}',
        b"[" * 100_000,
    ]  # fmt: skip
    reasons = [
        "not valid JSON", None, "no JSON object", "empty line", "null", "null",
        "not text", "invalid UTF-8", "invalid UTF-8", "empty text", "not valid JSON",
    ]  # fmt: skip
    path = write(tmp_path / "a.jsonl", b"\n".join(lines))
    assert [entry.reason for entry in entries(path, columns=("text",))] == reasons


def test_csv_rows_keep_their_faults(tmp_path: Path) -> None:
    content = b'id,text\n1,Good\n2\n3,"two\nlines"\n4,a,b\n5,\n' + b"6,caf\xe9\n"
    found = entries(write(tmp_path / "a.csv", content))
    assert [entry.text for entry in found] == ["Good", None, "two\nlines", None, None, None]
    assert [entry.reason for entry in found] == [
        None, "not 2 fields", None, "not 2 fields", "empty text", "invalid UTF-8"
    ]  # fmt: skip


def test_parquet_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"body": ["Good", None, ""], "n": [1, 2, 3]}), path)
    found = entries(path, columns=("body",))
    assert [entry.reason for entry in found] == [None, "null", "empty text"]
    assert [entry.reason for entry in entries(path, columns=("n",))] == ["not text"] * 3


@pytest.mark.parametrize(
    "header, expected",
    [
        ("text", "B"), ("Words", "B"), ("label,text", "B"), ("id,content", "B"),
        ("id,Review", "B"), ("title,body", "A: B"),
        ("title,text", "A: B"), ("Title,Content", "A: B"),
    ],
)  # fmt: skip
def test_a_clear_column_needs_no_name(tmp_path: Path, header: str, expected: str) -> None:
    row = "A,B" if "," in header else "B"
    assert texts(write(tmp_path / "a.csv", f"{header}\n{row}\n")) == [expected]


@pytest.mark.parametrize("header", ["text,content", "review,comment", "id,words", "a,b,c"])
def test_an_unclear_column_is_an_error_that_names_them(tmp_path: Path, header: str) -> None:
    path = write(tmp_path / "a.csv", f"{header}\n")
    with pytest.raises(DataError, match=f"--column.*It has {header.replace(',', ', ')}"):
        entries(path)


def test_columns_are_joined_in_the_order_given(tmp_path: Path) -> None:
    rows = [{"body": "b", "head": "h"}, {"body": "b", "head": ""}, {"body": None, "head": "h"}]
    path = write(tmp_path / "a.json", "\n".join(map(json.dumps, rows)))
    assert texts(path, columns=("head", "body")) == ["h: b", "b", "h"]


@pytest.mark.parametrize(
    ("header", "settings"),
    [
        ("text,text", {}),
        ("id,Text,text", {}),
        ("title,text,title", {}),
        ("body,body", {"columns": ("body",)}),
        ("text,stars,stars", {"label_column": "stars"}),
    ],
)
def test_two_columns_of_a_name_that_is_used_are_refused(
    tmp_path: Path, header: str, settings: dict[str, Any]
) -> None:
    path = tmp_path / "new.csv"
    path.write_text(header + "\n")
    with pytest.raises(DataError, match="has 2 columns named"):
        entries(path, **settings)


def test_a_column_named_exactly_is_used_beside_one_in_capitals(tmp_path: Path) -> None:
    path = tmp_path / "new.csv"
    path.write_text("Text,text\nWarm,Thin\n")
    assert texts(path, columns=("text",)) == ["Thin"]


def test_a_missing_column_is_an_error_that_names_the_others(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,text\n1,Good\n")
    with pytest.raises(DataError, match=r"no column 'body'\. It has id, text"):
        entries(path, columns=("body",))
    with pytest.raises(DataError, match="no column 'stars'"):
        entries(path, label_column="stars")


def test_lines_have_no_columns(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="lines and no columns"):
        entries(write(tmp_path / "a.txt", "Good\n"), columns=("text",))


@pytest.mark.parametrize("content", ["\n", "7\n[]\n", "[\n{\n"])
def test_a_file_without_a_json_object_is_an_error(tmp_path: Path, content: str) -> None:
    with pytest.raises(DataError, match="no JSON object"):
        entries(write(tmp_path / "a.jsonl", content))


@pytest.mark.parametrize("content", ["", "text\n"])
def test_an_empty_table(tmp_path: Path, content: str) -> None:
    path = write(tmp_path / "a.csv", content)
    if content:
        assert entries(path) == []
    else:
        with pytest.raises(DataError, match=r"a\.csv: is empty \(0 bytes\)"):
            entries(path)


def test_labels_of_a_column(tmp_path: Path) -> None:
    values = ["0", "1", "Positive", " negative ", "", "5"]
    content = "label,text\n" + "".join(f"{value},x\n" for value in values)
    path = write(tmp_path / "a.csv", content)
    labels = [entry.label for entry in entries(path, label_column="label")]
    assert labels == [0, 1, 1, 0, None, OTHER]
    assert {entry.label for entry in entries(path)} == {None}
    other = [
        entry.label
        for entry in entries(path, label_column="label", labels={"negative": "1", "positive": "5"})
    ]
    assert other == [OTHER, 0, 1, 0, None, 1]


def test_labels_that_pandas_wrote_as_floats(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    numbers = [0.0, 1.0, None, float("nan"), 0.5]
    pq.write_table(pa.table({"text": ["x"] * 5, "label": numbers}), path)
    labels = [entry.label for entry in entries(path, label_column="label")]
    assert labels == [0, 1, None, None, OTHER]


def test_a_compressed_parquet_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="compressed inside"):
        entries(write(tmp_path / "a.parquet.gz", b""))
