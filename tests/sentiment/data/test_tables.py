"""Tables read back as they were written: any separator, quoting, encoding; with clear columns."""

import csv
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from sentiment.data.delimited import SEPARATORS
from sentiment.data.reviews import Ignored, Reject, Review
from sentiment.data.table_config import TableConfig
from sentiment.errors import DataError
from sentiment.scoring.inputs import ScoreConfig, open_input
from tests.support.reviews import read_reviews

STARS = {"negative": [1, 2], "positive": [4, 5], "ignore": [3]}


def trained_on(path: Path, **settings: Any) -> list[Review | Reject | Ignored]:
    return list(read_reviews(path, TableConfig.model_validate(settings), max_bytes=10_000))


def scored(path: Path, **settings: Any) -> list[str | None]:
    config = ScoreConfig.model_validate({"max_bytes": 10_000, **settings})
    return [entry.text for entry in open_input(path, config).entries]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


words = st.text(st.sampled_from("ab,;\t|\"' \n.!7"), min_size=1, max_size=25) | st.text(
    st.characters(codec="latin-1", exclude_characters="\r\x00"), min_size=1, max_size=25
)
rows = st.lists(st.tuples(st.sampled_from([0, 1]), words.filter(str.strip)), min_size=1, max_size=8)


@given(
    rows=rows,
    separator=st.sampled_from(list(SEPARATORS)),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1", "utf-16-le"]),
    end=st.sampled_from(["\n", "\r\n"]),
)
@example([(1, "a,b"), (0, "c,d")], ";", csv.QUOTE_MINIMAL, "utf-8", "\n")
@example([(1, "a;b|c\td")], ",", csv.QUOTE_MINIMAL, "utf-8", "\n")
def test_what_csv_writes_reads_back_the_same_for_training_and_scoring(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[int, str]],
    separator: str,
    quoting: Any,
    encoding: str,
    end: str,
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, delimiter=separator, quoting=quoting, lineterminator=end)
        writer.writerows([("label", "text"), *rows])
    settings = {"encoding": encoding} if encoding in ("latin-1", "utf-16-le") else {}
    expected = [Review(n, *row) for n, row in enumerate(rows)]
    assert trained_on(path, **settings) == expected
    assert trained_on(path, separator=separator, **settings) == expected
    assert scored(path, **settings) == [text for _, text in rows]


@given(rows=rows, separator=st.sampled_from(list(SEPARATORS)), index=st.booleans())
def test_what_pandas_writes_reads_back(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[int, str]],
    separator: str,
    index: bool,
) -> None:
    path = tmp_path_factory.getbasetemp() / ("any.tsv" if separator == "\t" else "any.csv")
    frame = pd.DataFrame(rows, columns=["stars", "review_body"])
    frame["stars"] = frame["stars"].map({0: 1.0, 1: 5.0})
    frame.to_csv(path, sep=separator, index=index, lineterminator="\n")
    expected = [Review(n, *row) for n, row in enumerate(rows)]
    assert trained_on(path, labels=STARS) == expected
    assert scored(path) == [text for _, text in rows]
    packed = path.with_name("any.csv.zip")
    frame.to_csv(packed, sep=separator, index=index, lineterminator="\n")
    assert trained_on(packed, labels=STARS) == expected


def test_the_rows_before_and_after_a_bad_one_stay_in_any_encoding(tmp_path: Path) -> None:
    lines = [b"label;text", b"1;Warm", b"0;caf\x81", b"1;one;two", b"0;Th\xefn"]
    path = write(tmp_path / "a.csv", b"\n".join(lines))
    assert trained_on(path, encoding="cp1252") == [
        Review(0, 1, "Warm"),
        Reject(1, "invalid CP1252", b"0;caf\x81"),
        Reject(2, "not 2 fields", b"1;one;two"),
        Review(3, 0, "Th\xefn"),
    ]


def test_utf_16_that_is_cut_off_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "label,text\n1,Warm\n".encode("utf-16")[:-1])
    with pytest.raises(DataError, match=r"a\.csv: not valid utf-16 near byte"):
        trained_on(path)


def test_utf_16_without_its_mark_is_an_error_that_proposes_the_encoding(tmp_path: Path) -> None:
    for encoding in ("utf-16-le", "utf-16-be"):
        path = write(tmp_path / "a.csv", "label,text\n1,Warm\n".encode(encoding))
        with pytest.raises(DataError, match=f"without a byte order mark.*--encoding {encoding}"):
            trained_on(path)
        assert trained_on(path, encoding=encoding) == [Review(0, 1, "Warm")]


def test_a_mark_of_utf_8_in_another_encoding_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "\ufefflabel,text\n1,Warm\n")
    with pytest.raises(DataError, match="byte order mark of UTF-8"):
        trained_on(path, encoding="latin-1")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_lines_may_be_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    path = write(
        tmp_path / "a.txt", "__label__2 Warm \u2014 soft\n__label__1 Thin\n".encode(encoding)
    )
    assert trained_on(path) == [Review(0, 1, "Warm \u2014 soft"), Review(1, 0, "Thin")]
    assert scored(path) == ["Warm \u2014 soft", "Thin"]


@pytest.mark.parametrize(
    ("content", "separator"),
    [
        ("text;label\nbad, really;0\nfine, so, so;1\n", ";"),
        ("label;title, maybe;text\n1;a, b;c\n0;a;c\n", ";"),
        ("label,a;b,text\n1,2;3,c\n0,2,c\n", ","),
        ('label|text\n1|"a|b, c|d"\n0|e, f\n', "|"),
        ("label,text\n", ","),
    ],
)
def test_commas_in_texts_fool_nobody(tmp_path: Path, content: str, separator: str) -> None:
    path = write(tmp_path / "a.csv", content)
    assert trained_on(path) == trained_on(path, separator=separator)
    assert not any(isinstance(record, Reject) for record in trained_on(path))


def test_two_separators_that_fit_as_well_are_not_guessed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "label,text;more\n1,a;b\n")
    with pytest.raises(DataError, match=r"a comma or a semicolon may separate.*--separator"):
        trained_on(path)


def test_a_separator_makes_a_table_of_any_text_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "Warm, soft\t1\nThin\t0\n")
    settings = {"separator": "tab", "header": False, "columns": [1], "label_column": 2}
    assert trained_on(path, **settings) == [Review(0, 1, "Warm, soft"), Review(1, 0, "Thin")]
    assert scored(path, **settings) == ["Warm, soft", "Thin"]


def test_quotes_may_be_plain_characters(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", 'label\ttext\n1\t"Warm\n0\tThin "so" so\n')
    raw = b'1\t"Warm\n0\tThin "so" so'
    assert trained_on(path) == [Reject(0, "not valid CSV", raw)]
    assert trained_on(path, quotes=False) == [Review(0, 1, '"Warm'), Review(1, 0, 'Thin "so" so')]


@pytest.mark.parametrize("first", ["1,A warm lamp for all seasons", "positive,Warm", "2,1,Thin"])
def test_a_missing_header_is_noticed_and_can_be_said(tmp_path: Path, first: str) -> None:
    path = write(tmp_path / "a.csv", f"{first}\n")
    for read in (trained_on, scored):
        with pytest.raises(DataError, match=r"is there no header\? .*header=false"):
            read(path)  # type: ignore[operator]
    *_, label, text = range(1, first.count(",") + 2)
    settings = {"header": False, "columns": [text], "label_column": str(label)}
    (review,) = trained_on(path, **settings)
    assert isinstance(review, Review) and review.text == first.split(",")[-1]


def test_a_table_of_one_column_whose_first_row_is_a_sentence_has_no_header(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "It is warm and soft as can be\nThin\n")
    with pytest.raises(DataError, match="is there no header"):
        scored(path)
    assert scored(path, header=False, columns=["1"]) == ["It is warm and soft as can be", "Thin"]
    assert scored(path, header=False) == ["It is warm and soft as can be", "Thin"]


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        ("label,text", "1 2"),
        ("stars,review", "1 2"),
        ("id,Rating,review_body", "2 3"),
        ("sentiment,title,body,stars2", "1 2: 3"),
        ("review_text,id,star_rating,review_headline", "3 4: 1"),
        ("label,stars,text,review", "1 3"),
    ],
)
def test_columns_with_clear_names_need_no_setting(tmp_path: Path, header: str, chosen: str) -> None:
    numbers = ",".join(str(n) for n, _ in enumerate(header.split(","), 1))
    path = write(tmp_path / "a.csv", f"{header}\n{numbers}\n")
    label, text = chosen.split(" ", 1)
    labels = {"negative": 99, "positive": label}
    assert trained_on(path, labels=labels) == [Review(0, 1, text)]
    assert scored(path) == [text]


@pytest.mark.parametrize(
    "header", ["stars,rating,text", "label,review,comment", "label,text,content", "grade,text"]
)
def test_columns_are_never_guessed(tmp_path: Path, header: str) -> None:
    path = write(tmp_path / "a.csv", f"{header}\n1,2,3\n")
    with pytest.raises(
        DataError, match=rf"which column holds .*It has {header.replace(',', ', ')}"
    ):
        trained_on(path)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_named_columns_are_read_in_their_order_from_any_table(tmp_path: Path, kind: str) -> None:
    frame = pd.DataFrame({"a": ["x", None], "mark": [5, 1], "b": ["y", "z"]})
    path = tmp_path / f"new.{kind}"
    if kind == "csv":
        frame.to_csv(path)
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in frame.to_dict("records")))
    else:
        frame.to_parquet(path)
    frame_columns = {"columns": ["b", "a"], "label_column": "mark"}
    expected = [Review(0, 1, "y: x"), Review(1, 0, "z")]
    if kind == "jsonl":  # NaN, as json writes a null, is not a text
        path.write_text(path.read_text().replace("NaN", "null"))
    assert trained_on(path, labels=STARS, **frame_columns) == expected
    assert scored(path, labels=STARS, **frame_columns) == ["y: x", "z"]


def test_ignored_rows_are_no_rejects(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "stars,text\n5,Warm\n3,\n3,So so\n2,Thin\n0,Odd\n")
    assert trained_on(path, labels=STARS) == [
        Review(0, 1, "Warm"),
        Ignored(1),
        Ignored(2),
        Review(3, 0, "Thin"),
        Reject(4, "unknown label", b"0,Odd"),
    ]


def test_the_labels_of_lines_can_be_given_too(tmp_path: Path) -> None:
    lines = "__label__5 Warm\n__label__3 So so\n__label__1 Thin\n__label__0 Odd\n"
    path = write(tmp_path / "a.txt", lines)
    assert trained_on(path, labels=STARS) == [
        Review(0, 1, "Warm"),
        Ignored(1),
        Review(2, 0, "Thin"),
        Reject(3, "unknown label", b"__label__0 Odd"),
    ]


@pytest.mark.parametrize(
    "settings",
    [
        {"encoding": "latin-99"},
        {"encoding": "hex"},
        *({"separator": s} for s in ("", ";;", '"', "a", "\n")),
    ],
)
def test_settings_that_no_table_can_have_are_refused(settings: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        TableConfig.model_validate(settings)


def test_names_of_an_encoding_are_one_setting() -> None:
    names = ("latin-1", "latin1", "ISO-8859-1")
    assert len({TableConfig(encoding=name).encoding for name in names}) == 1
    assert TableConfig(encoding="UTF8") == TableConfig(encoding="utf-8-sig") == TableConfig()
