"""What a valid review is, and the reason and the bytes of every other line."""

import csv
import gzip
import json
import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from math import nan
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sentiment.data.labels import Labels, label_name
from sentiment.data.reviews import (
    REVIEWS,
    Ignored,
    Reject,
    Review,
    line_labels,
    parse_line,
    read_batches,
    white_starts,
)
from sentiment.data.table_config import TableConfig
from sentiment.errors import DataError
from tests.support.reviews import as_line, read_reviews, row_by_row

MAX_BYTES = 10_000
Record = Review | Reject | Ignored
texts = st.text(st.characters(codec="utf-8", exclude_characters="\n")).filter(str.strip)


@given(st.integers(0, 10**12), st.sampled_from([0, 1]), texts)
@example(0, 1, "Ends with a carriage return\r")
@example(7, 0, " starts and ends with a space ")
@example(7, 0, "__label__2 of another review")
def test_a_formatted_review_reads_back_unchanged(row: int, label: int, text: str) -> None:
    assert parse_line(row, as_line(label, text), MAX_BYTES) == Review(row, label, text)


@pytest.mark.parametrize(
    "text",
    [
        "one\u2028line",
        "next\x85line",
        "a NUL \x00 inside",
        "great \N{GRINNING FACE}\N{ZERO WIDTH JOINER}\N{FIRE}",
        "tab\tinside",
        "\ufeffmark inside",
        "Titre : très bon, “vraiment”",
        "null",
    ],
)
def test_unusual_characters_stay(tmp_path: Path, text: str) -> None:
    path = tmp_path / "reviews.ft.txt"
    path.write_bytes(as_line(1, text) + b"\n" + as_line(0, text) + b"\n")
    assert from_file(path) == [Review(0, 1, text), Review(1, 0, text)]


REASONS = {
    b"The plot is thin: I slept": "no label",
    b"__label__": "unknown label",
    b"__label__3 Fine: so so": "unknown label",
    b"__label__0 Bad: awful": "unknown label",
    b"__label__12 Bad: awful": "unknown label",
    b"__label__2: Fine": "unknown label",
    b"__LABEL__2 Fine: lovely": "no label",
    b"_label__2 Fine: lovely": "no label",
    b"\t__label__2 Fine: lovely": "white space before the label",
    b" __label__2 Fine: lovely": "white space before the label",
    b"\r__label__2 Fine: lovely": "white space before the label",
    b"\xef\xbb\xbf__label__2 Fine: lovely": "byte order mark before the label",
    b"__label__2\tFine: lovely": "tab after the label",
    b"__label__1\tBad:\tawful": "tab after the label",
    b"__label__2 caf\xe9": "invalid UTF-8",
    b"__label__2 \xff\xfe": "invalid UTF-8",
    b"__label__2 \xed\xa0\x80": "invalid UTF-8",  # half a surrogate pair
    b"__label__2 \xc0\xaf": "invalid UTF-8",  # longer than need be
    b"__label__2 cut off \xf0\x9f\x98": "invalid UTF-8",
    b"__label__1": "empty text",
    b"__label__1 ": "empty text",
    b"__label__2  \t \r": "empty text",
    "__label__2 \u2003\u00a0\u2028".encode(): "empty text",
    b"": "empty line",
    b" \t ": "empty line",
    b"__label__2 " + b"x" * MAX_BYTES: f"longer than {MAX_BYTES:,} bytes",
}


@pytest.mark.parametrize(("line", "reason"), REASONS.items(), ids=range(len(REASONS)))
def test_a_bad_line_has_its_reason_and_keeps_its_bytes(line: bytes, reason: str) -> None:
    assert parse_line(41, line, MAX_BYTES) == Reject(41, reason, line)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"__label__Bad Thin", Review(0, 0, "Thin")),
        (b"__label__GOOD Warm", Review(0, 1, "Warm")),
        ("__label__\u00c9 Warm".encode(), Review(0, 1, "Warm")),
        (b"__label__4.0 Warm", Review(0, 1, "Warm")),
        (b"__label__Positive Warm", Review(0, 1, "Warm")),
        (b"__label__So-So Calm", Ignored(0)),
        (b"__label__4", Reject(0, "empty text", b"__label__4")),
        (b"__label__Bad\tThin", Reject(0, "tab after the label", b"__label__Bad\tThin")),
        (b"__label__Bad\t Thin", Reject(0, "tab after the label", b"__label__Bad\t Thin")),
        (b"__label__1 Thin", Reject(0, "unknown label", b"__label__1 Thin")),
        (b"__LABEL__Bad Thin", Reject(0, "no label", b"__LABEL__Bad Thin")),
    ],
)
def test_labels_of_lines_are_compared_as_those_of_tables(
    line: bytes, expected: Review | Reject | Ignored
) -> None:
    given = {"negative": ["Bad"], "positive": ["good", "\u00e9", 4], "ignore": ["so-so"]}
    labels = line_labels(Labels.model_validate(given))
    assert parse_line(0, line, MAX_BYTES, labels) == expected


def test_a_line_of_exactly_the_longest_size_is_valid() -> None:
    line = b"__label__2 " + b"x" * (MAX_BYTES - 11)
    assert isinstance(parse_line(0, line, MAX_BYTES), Review)
    assert isinstance(parse_line(0, line + b"x", MAX_BYTES), Reject)


almost = st.tuples(
    st.sampled_from([b"", b" ", b"\t", b"\xef\xbb\xbf", b"\x00"]),
    st.sampled_from([b"__label__1", b"__label__2", b"__label__", b"__label__9", b"label"]),
    st.sampled_from([b" ", b"", b"\t", b"  ", b"\xa0"]),
    st.binary(max_size=30),
).map(b"".join)


@given(st.binary(max_size=60) | almost, st.integers(16, 50))
def test_any_line_is_a_review_that_formats_back_or_a_reject_with_its_bytes(
    line: bytes, max_bytes: int
) -> None:
    record = parse_line(3, line, max_bytes)
    if isinstance(record, Review):
        assert as_line(record.label, record.text) == line
        assert record.row == 3
        assert record.text.strip()
        assert len(line) <= max_bytes
    else:
        assert record == Reject(3, record.reason, line)
        assert record.reason


# All that a line may begin with, hold and end in, above all what is hardly or not quite valid.
line_parts = st.sampled_from(
    [
        *(b"__label__1", b"__label__", b"__label__pos\t", b"__label__new ", b"label", b"Warm"),
        *(b" ", b"\t", b"\r", b"\0", b"\x0c", b"\x1c", b"\x1f", b"\x7f", b"\xff", b"\xc3"),
        *(b"\xe2\x80", b"\xed\xa0\x80", b"\xc0\xaf", b"\xef\xbb\xbf", b"x" * 40),
        *(text.encode() for text in "\x85\xa0\u1680\u2003\u2028\u3000\u200bé—ありЖ👍"),
    ]
)
line_contents = st.lists(line_parts, max_size=6).map(b"".join)
known = st.sampled_from(
    [b"1", b"2", b"neg", b"Neg", b"2.0", "É".encode(), b"3", "é".encode(), b"odd one", b""]
)
fast_text = st.builds(b"__label__%b %b".__mod__, st.tuples(known, line_contents))
nasty_lines = st.lists(line_contents | fast_text | fast_text, max_size=12)
ignoring = {"negative": [1], "positive": ["2", "é", "odd one"], "ignore": [3, ""]}


@given(
    lines=nasty_lines,
    ends=st.sampled_from([b"\n", b"\r\n"]),
    last_end=st.booleans(),
    cuts=st.lists(st.integers(0, 400)),
    max_bytes=st.integers(16, 50),
    every=st.integers(1, 9),
    limit=st.none() | st.integers(1, 12),
    labels=st.sampled_from([{}, ignoring]),
)
@example([b"__label__1 1234" + b"5" * n for n in range(9)], b"\n", True, [], 19, 9, None, {})
@example([b"__label__odd one Warm"], b"\n", True, [], 50, 9, None, ignoring)
@example([b"__label__1  two spaces", b"__label__2 caf\xe9"], b"\n", True, [], 50, 9, None, {})
def test_lines_by_columns_are_those_read_one_by_one(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[bytes],
    ends: bytes,
    last_end: bool,
    cuts: list[int],
    max_bytes: int,
    every: int,
    limit: int | None,
    labels: dict[str, Any],
) -> None:
    data = ends.join(lines) + ends * last_end
    data = data if data and not data.startswith(b"\xef\xbb\xbf") else b"first" + data
    config = TableConfig.model_validate({"labels": labels})
    known, unknown = line_labels(config.labels), Counter[str]()
    plain = [line.removesuffix(b"\r") for line in data.removesuffix(b"\n").split(b"\n")][:limit]
    expected = [parse_line(row, line, max_bytes, known) for row, line in enumerate(plain)]
    for record in expected:
        if isinstance(record, Reject) and record.reason == "unknown label":
            label = record.bytes.split(maxsplit=1)[0].removeprefix(b"__label__")
            unknown[label_name(label.decode("utf-8", "replace"))] += 1

    path = tmp_path_factory.getbasetemp() / "reviews.txt"
    path.write_bytes(data)
    places = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    blocks = [data[start:stop] for start, stop in pairwise(places)]
    found = Counter[str]()
    with (
        patch("sentiment.data.encodings.read_blocks", lambda *_: iter(blocks)),
        patch("sentiment.data.encodings.refuse_content"),  # so much of it is not text
    ):
        batches = list(
            read_batches(path, config, max_bytes=max_bytes, every=every, limit=limit, found=found)
        )
    assert list(row_by_row(batches)) == expected
    assert found == unknown
    row = 0
    for batch in batches:
        assert batch.reviews.schema.equals(REVIEWS)
        assert row // every == (row + batch.rows - 1) // every  # none goes past a multiple
        batch.reviews.validate(full=True)
        row += batch.rows


def test_every_white_space_begins_with_a_byte_known_for_it() -> None:
    starts = {chr(code).encode()[0] for code in range(0x110000) if chr(code).isspace()}
    assert set(np.flatnonzero(white_starts()).tolist()) == starts


def from_file(path: Path, max_bytes: int = MAX_BYTES, **settings: Any) -> list[Record]:
    return list(read_reviews(path, TableConfig.model_validate(settings), max_bytes=max_bytes))


def from_csv(tmp_path: Path, content: str | bytes, **options: Any) -> list[Record]:
    path = tmp_path / "reviews.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return from_file(path, **options)


class TestCsv:
    def test_title_and_text_become_one_text(self, tmp_path: Path) -> None:
        records = from_csv(tmp_path, "label,title,text\n1,Bright lamp,Lights it all\n0,,No title\n")
        assert records == [Review(0, 1, "Bright lamp: Lights it all"), Review(1, 0, "No title")]

    def test_columns_may_be_in_any_order_beside_others(self, tmp_path: Path) -> None:
        content = "stars,Text,id, LABEL ,title\n5,Lights it all,b7,1,Bright lamp\n"
        assert from_csv(tmp_path, content) == [Review(0, 1, "Bright lamp: Lights it all")]

    def test_content_may_replace_text(self, tmp_path: Path) -> None:
        assert from_csv(tmp_path, "label,content\n0,Broke\n") == [Review(0, 0, "Broke")]

    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    def test_quotes_hold_commas_quotes_and_line_ends(self, tmp_path: Path, end: str) -> None:
        lines = ["label,text", '1,"Warm, ""soft""', "", 'and light"', "0,Thin"]
        records = from_csv(tmp_path, end.join(lines))
        assert records == [Review(0, 1, 'Warm, "soft"\n\nand light'), Review(1, 0, "Thin")]

    def test_rows_count_records_not_lines(self, tmp_path: Path) -> None:
        records = from_csv(tmp_path, 'label,text\n1,"a\nb\nc"\n7,"d\ne"\n0,f\n')
        assert records == [
            Review(0, 1, "a\nb\nc"),
            Reject(1, "unknown label", b'7,"d\ne"'),
            Review(2, 0, "f"),
        ]

    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            (b"1,Fine", "not 3 fields"),
            (b"1,Fine,so,so", "not 3 fields"),
            (b"", "not 3 fields"),
            (b"2,Fine,so so", "unknown label"),
            (b"-1,Fine,so so", "unknown label"),
            (b"0.5,Fine,so so", "unknown label"),
            (b"good,Fine,so so", "unknown label"),
            (b",Fine,so so", "unknown label"),
            (b"1,,", "empty text"),
            (b"1,  , ", "empty text"),
            (b"1,caf\xe9,so so", "invalid UTF-8"),
            (b"0,Fine,\xff", "invalid UTF-8"),
            (b'0,Fine,"two\nlines\xff"', "invalid UTF-8"),
            (b"1,Long," + b"x" * MAX_BYTES, f"longer than {MAX_BYTES:,} bytes"),
            (b"1,Fine,a carriage return \r within", "not valid CSV"),
        ],
    )
    def test_a_bad_row_has_its_reason_and_its_bytes(
        self, tmp_path: Path, line: bytes, reason: str
    ) -> None:
        content = b"label,title,text\n1,Fine,before\n" + line + b"\n0,Poor,after\n"
        assert from_csv(tmp_path, content) == [
            Review(0, 1, "Fine: before"),
            Reject(1, reason, line),
            Review(2, 0, "Poor: after"),
        ]

    def test_invalid_utf_8_is_harmless_in_other_columns(self, tmp_path: Path) -> None:
        assert from_csv(tmp_path, b"label,who,text\n1,\xff,Warm\n") == [Review(0, 1, "Warm")]

    def test_a_byte_order_mark_before_the_header_is_ignored(self, tmp_path: Path) -> None:
        content = "\ufefflabel,text\n1,Warm\n"
        assert from_csv(tmp_path, content) == [Review(0, 1, "Warm")]

    def test_the_labels_may_be_words(self, tmp_path: Path) -> None:
        records = from_csv(tmp_path, "label,text\nPositive,Warm\n negative ,Thin\n1,Odd\n")
        assert records == [Review(0, 1, "Warm"), Review(1, 0, "Thin"), Review(2, 1, "Odd")]

    def test_the_labels_may_be_other_numbers(self, tmp_path: Path) -> None:
        labels = {"negative": 1, "positive": 2}
        records = from_csv(tmp_path, "label,text\n1,Thin\n 2 ,Warm\n0,Odd\n", labels=labels)
        assert records == [
            Review(0, 0, "Thin"),
            Review(1, 1, "Warm"),
            Reject(2, "unknown label", b"0,Odd"),
        ]

    def test_unusual_characters_stay(self, tmp_path: Path) -> None:
        text = "NUL \x00, \u2028, \x85, \N{FIRE}"
        assert from_csv(tmp_path, f'label,text\n1,"{text}"\n') == [Review(0, 1, text)]

    def test_a_very_long_field_is_a_reject(self, tmp_path: Path) -> None:
        line = b"1," + b"x" * 200_000
        records = from_csv(tmp_path, b"label,text\n" + line + b"\n0,Thin\n")
        assert records == [
            Reject(0, f"longer than {MAX_BYTES:,} bytes", line),
            Review(1, 0, "Thin"),
        ]

    @pytest.mark.parametrize(
        ("content", "missing"),
        [
            ("grade,text\n1,Warm\n", "the label (--label-column)"),
            ("label,words\n1,Warm\n", "the text (--column, repeated to join several)"),
            ("label,text\r1,Warm\r", "the text (--column, repeated to join several) and the label"),
            ("\n", "the text (--column, repeated to join several) and the label"),
        ],
    )
    def test_missing_columns_are_an_error(self, tmp_path: Path, content: str, missing: str) -> None:
        with pytest.raises(
            DataError, match=rf"reviews\.csv: which column holds {re.escape(missing)}"
        ):
            from_csv(tmp_path, content)

    def test_empty_lines_at_the_end_are_not_rows(self, tmp_path: Path) -> None:
        content = b"label,text\n1,Fine\n\n0,Poor\n\n\n"
        assert from_csv(tmp_path, content) == [
            Review(0, 1, "Fine"),
            Reject(1, "not 2 fields", b""),
            Review(2, 0, "Poor"),
        ]

    def test_an_empty_file_is_an_error_that_says_so(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"reviews\.csv: is empty \(0 bytes\)"):
            from_csv(tmp_path, "")

    def test_a_packed_table_is_read_as_a_table(self, tmp_path: Path) -> None:
        path = tmp_path / "reviews.csv.gz"
        path.write_bytes(gzip.compress(b"label,text\n1,Warm\n"))
        assert from_file(path) == [Review(0, 1, "Warm")]

    @pytest.mark.parametrize("after", [0, 50, 5_000])
    def test_an_unclosed_quote_is_an_error_and_takes_in_no_rows(
        self, tmp_path: Path, after: int
    ) -> None:
        rows = "1,Warm\n" * 20 + '0,"Never closed\n' + "1,Lost\n" * after
        with pytest.raises(DataError, match=r"reviews\.csv: line 22: a quote is opened and not"):
            from_csv(tmp_path, f"label,text\n{rows}")

    def test_a_quoted_field_may_have_many_lines_and_end_the_file(self, tmp_path: Path) -> None:
        text = "\n".join(["a line"] * 999)
        assert from_csv(tmp_path, f'label,text\n1,"{text}"') == [Review(0, 1, text)]

    @given(st.lists(st.tuples(st.sampled_from([0, 1]), texts), min_size=1, max_size=5))
    def test_what_the_csv_module_writes_reads_back(
        self, tmp_path_factory: pytest.TempPathFactory, reviews: list[tuple[int, str]]
    ) -> None:
        # A carriage return before a line feed is part of the line's end, in quotes as well.
        reviews = [(label, text.replace("\r", " ")) for label, text in reviews]
        reviews = [(label, text if text.strip() else "x") for label, text in reviews]
        path = tmp_path_factory.getbasetemp() / "written.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("label", "text"), *reviews])
        assert from_file(path) == [Review(row, *review) for row, review in enumerate(reviews)]


@pytest.mark.parametrize(
    ("header", "named"),
    [
        ("label,text,label", "label"),
        ("text,label,text", "text"),
        ("label,title,text,title", "title"),
        ("label,content,content", "content"),
        ("Label,text,LABEL", "label"),
    ],
)
def test_two_columns_of_a_name_that_is_used_are_refused(
    tmp_path: Path, header: str, named: str
) -> None:
    path = tmp_path / "reviews.csv"
    path.write_text(header + "\n")
    with pytest.raises(DataError, match=f"reviews.csv: has 2 columns named '{named}'"):
        from_file(path)


def test_two_columns_of_a_name_that_is_not_used_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    path.write_text("id,label,text,id,review,review\n1,1,Warm,2,a,b\n")
    assert from_file(path) == [Review(0, 1, "Warm")]


def from_parquet(tmp_path: Path, columns: dict[str, Any], **options: Any) -> list[Record]:
    path = tmp_path / "reviews.parquet"
    pq.write_table(pa.table(columns), path)
    return from_file(path, **options)


class TestParquet:
    def test_title_and_text_become_one_text(self, tmp_path: Path) -> None:
        columns = {"title": ["Bright", None], "text": ["Lights it", "Thin"], "label": [1, 0]}
        records = from_parquet(tmp_path, columns)
        assert records == [Review(0, 1, "Bright: Lights it"), Review(1, 0, "Thin")]

    def test_content_may_replace_text_and_other_columns_are_left(self, tmp_path: Path) -> None:
        columns = {"label": [0, 1], "content": ["Thin", "Warm"], "blob": [b"\xff", None]}
        assert from_parquet(tmp_path, columns) == [Review(0, 0, "Thin"), Review(1, 1, "Warm")]

    def test_the_labels_may_be_other_numbers(self, tmp_path: Path) -> None:
        columns = {"label": [1, 2, 0], "text": ["Thin", "Warm", "Odd"]}
        records = from_parquet(tmp_path, columns, labels={"negative": 1, "positive": 2})
        assert records[:2] == [Review(0, 0, "Thin"), Review(1, 1, "Warm")]
        assert reasons(records) == [(2, "unknown label")]

    @pytest.mark.parametrize("label", [[True, False, None], [1.0, 0.0, nan], ["TRUE", "0.0", ""]])
    def test_labels_as_pandas_writes_them(self, tmp_path: Path, label: list[Any]) -> None:
        records = from_parquet(tmp_path, {"label": label, "text": ["Warm", "Thin", "Odd"]})
        assert records[:2] == [Review(0, 1, "Warm"), Review(1, 0, "Thin")]
        assert reasons(records) == [(2, "unknown label")]

    def test_labels_may_be_text(self, tmp_path: Path) -> None:
        records = from_parquet(tmp_path, {"label": ["1", "0"], "text": ["Warm", "Thin"]})
        assert records == [Review(0, 1, "Warm"), Review(1, 0, "Thin")]

    def test_nulls_are_rejected_with_the_record_as_json(self, tmp_path: Path) -> None:
        columns = {"label": [1, None, 0], "text": [None, "Warm é", "Thin"]}
        records = from_parquet(tmp_path, columns)
        assert reasons(records) == [(0, "null"), (1, "unknown label")]
        kept = [json.loads(record.bytes) for record in records if isinstance(record, Reject)]
        assert kept == [{"label": 1, "text": None}, {"label": None, "text": "Warm é"}]
        assert records[2] == Review(2, 0, "Thin")

    @pytest.mark.parametrize(
        ("text", "reason"), [(" ", "empty text"), ("x" * 99, "longer than 50 bytes")]
    )
    def test_bad_texts_are_rejected(self, tmp_path: Path, text: str, reason: str) -> None:
        columns = {"label": [1, 0], "text": [text, "Thin"]}
        assert reasons(from_parquet(tmp_path, columns, max_bytes=50)) == [(0, reason)]

    @pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
    def test_of_texts_that_are_not_utf8_only_those_are_rejected(
        self, tmp_path: Path, kind: pa.DataType
    ) -> None:
        path = tmp_path / "reviews.parquet"
        raw = pa.array([b"Warm", b"caf\xe9", None, "Th\u00e9".encode()], pa.large_binary())
        texts = raw.cast(pa.binary()).view(pa.string()) if kind == pa.string() else raw.view(kind)
        pq.write_table(pa.table({"label": [1, 0, 1, 0], "text": texts}), path)
        records = from_file(path)
        assert [r for r in records if isinstance(r, Review)] == [
            Review(0, 1, "Warm"),
            Review(3, 0, "Th\u00e9"),
        ]
        assert reasons(records) == [(1, "invalid UTF-8"), (2, "null")]
        assert next(r for r in records if isinstance(r, Reject)).bytes == (
            b'{"text": "caf\xe9", "label": 0}'
        )

    def test_rows_continue_over_batches_and_row_groups(self, tmp_path: Path) -> None:
        path = tmp_path / "many.parquet"
        texts = [f"Number {n}" for n in range(9_000)]
        table = pa.table({"label": [n % 2 for n in range(9_000)], "text": texts})
        pq.write_table(table, path, row_group_size=2_500)
        assert from_file(path) == [Review(n, n % 2, text) for n, text in enumerate(texts)]

    def test_missing_columns_are_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(
            DataError, match=r"which column holds the label .* It has grade, text\."
        ):
            from_parquet(tmp_path, {"grade": [1], "text": ["Warm"]})

    @pytest.mark.parametrize(
        "content", [b"", b"label,text\n1,Warm\n", b"PAR1" + bytes(40) + b"PAR1"]
    )
    def test_another_format_is_an_error(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "reviews.parquet"
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"reviews\.parquet: cannot be read as Parquet"):
            from_file(path)

    def test_a_missing_file_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"missing\.parquet: cannot be read"):
            from_file(tmp_path / "missing.parquet")

    def test_damage_in_the_middle_is_an_error(self, tmp_path: Path) -> None:
        path = tmp_path / "reviews.parquet"
        texts = [f"Number {n * n}" for n in range(500)]
        table = pa.table({"label": [1] * 500, "text": texts})
        pq.write_table(table, path, use_dictionary=False)
        content = bytearray(path.read_bytes())
        content[len(content) // 3 : len(content) // 2] = bytes(
            len(content) // 2 - len(content) // 3
        )
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"reviews\.parquet: cannot be read as Parquet"):
            from_file(path)


def reasons(records: Sequence[Record]) -> list[tuple[int, str]]:
    return [(record.row, record.reason) for record in records if isinstance(record, Reject)]


FORMATS = {
    "reviews.txt": lambda rows: b"\n".join(as_line(*row) for row in rows),
    "reviews.txt.gz": lambda rows: gzip.compress(b"\n".join(as_line(*row) for row in rows)),
    "reviews.csv": lambda rows: (
        b"label,text\n" + b"".join(b"%d,%s\n" % (n, t.encode()) for n, t in rows)
    ),
    "reviews.jsonl": lambda rows: b"".join(
        json.dumps({"label": label, "text": text}).encode() + b"\n" for label, text in rows
    ),
}


@pytest.mark.parametrize("name", [*FORMATS, "reviews.parquet"])
def test_reading_reports_the_share_read(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentiment.data.archives.READ_BYTES", 8_000)
    rows = [(n % 2, f"Number {n * n * 7919 % 10_007}") for n in range(9_000)]
    path, shares = tmp_path / name, [0.0]
    if name in FORMATS:
        path.write_bytes(FORMATS[name](rows))
        steps = -(-path.stat().st_size // 8_000)
    else:
        labels, texts = zip(*rows, strict=True)
        pq.write_table(pa.table({"label": labels, "text": texts}), path)
        steps = 3
    records = read_reviews(path, TableConfig(), max_bytes=MAX_BYTES, on_read=shares.append)
    assert sum(isinstance(record, Review) for record in records) == 9_000
    assert shares == sorted(shares)
    assert (len(shares), shares[0], shares[-1]) == (steps + 1, 0, 1)
