"""A file of reviews becomes shards: every line is in one of them or among the rejects."""

import bz2
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentiment.data.duplicates import text_hash
from sentiment.data.ingest import (
    REJECTS,
    REPORT_EVERY,
    SPLITS,
    IngestConfig,
    check_splits,
    hashed_split,
    ingest_file,
)
from sentiment.data.reviews import REVIEWS, Reject, Review, parse_line
from sentiment.errors import ArchiveError, DataError, RejectRateError
from tests.support.reviews import as_line, contents, made_up_reviews, rows_of, write_bz2

BAD = b"__label__3 neither nor"


def good(count: int) -> list[bytes]:
    return [as_line(*review) for review in made_up_reviews(count, seed=5)]


def run(
    folder: Path, lines: list[bytes], split: str = "train", limit: int | None = None, **options: Any
) -> tuple[dict[str, Any], Path]:
    """Ingest lines; return the facts and the folder with the output."""
    out = folder / "out"
    out.mkdir()
    source = write_bz2(folder / "reviews.ft.txt.bz2", lines)
    config = IngestConfig(**{"max_reject_rate": 1.0, **options})
    facts = ingest_file(source, split=split, limit=limit, ingest=config, out=out)  # type: ignore[arg-type]
    return facts, out


def shards(out: Path, split: str) -> list[list[Review]]:
    paths = sorted(out.glob(f"{split}-*.parquet"))
    assert [path.name for path in paths] == [f"{split}-{n:05d}.parquet" for n in range(len(paths))]
    return [[Review(*row) for row in rows_of(path)] for path in paths]


def joined(out: Path, split: str) -> list[Review]:
    return [review for shard in shards(out, split) for review in shard]


def parsed(lines: list[bytes]) -> tuple[list[Review], list[Reject]]:
    records = [parse_line(row, line, 262_144) for row, line in enumerate(lines)]
    reviews = [record for record in records if isinstance(record, Review)]
    return reviews, [record for record in records if isinstance(record, Reject)]


def test_shards_hold_the_reviews_in_order_with_their_rows(tmp_path: Path) -> None:
    lines = good(11)
    lines[2] = lines[7] = BAD
    facts, out = run(tmp_path, lines, shard_size=4)
    assert [len(shard) for shard in shards(out, "train")] == [4, 4, 1]
    assert joined(out, "train") == parsed(lines)[0]
    assert facts["read"] == 11
    assert {path.name for path in out.iterdir()} == {
        "train-00000.parquet",
        "train-00001.parquet",
        "train-00002.parquet",
        "rejects.parquet",
    }


def test_a_full_last_shard_is_followed_by_none(tmp_path: Path) -> None:
    _, out = run(tmp_path, good(8), shard_size=4)
    assert [len(shard) for shard in shards(out, "train")] == [4, 4]


def test_shards_have_the_promised_types(tmp_path: Path) -> None:
    _, out = run(tmp_path, [*good(3), BAD])
    assert pq.read_schema(out / "train-00000.parquet").equals(REVIEWS)
    assert pq.read_schema(out / "rejects.parquet").equals(REJECTS)


def test_rejects_keep_row_reason_and_bytes(tmp_path: Path) -> None:
    lines = [*good(2), b"\xff no label", *good(1), b"__label__1 caf\xe9", b"", BAD]
    facts, out = run(tmp_path, lines)
    assert rows_of(out / "rejects.parquet") == [
        (2, "no label", b"\xff no label"),
        (4, "invalid UTF-8", b"__label__1 caf\xe9"),
        (5, "empty line", b""),
        (6, "unknown label", BAD),
    ]
    assert facts["rejected"] == {
        "empty line": 1,
        "invalid UTF-8": 1,
        "no label": 1,
        "unknown label": 1,
    }
    assert facts["read"] == 7


def test_a_file_without_rejects_has_an_empty_list_of_them(tmp_path: Path) -> None:
    facts, out = run(tmp_path, good(2))
    assert rows_of(out / "rejects.parquet") == []
    assert facts["rejected"] == {}


def test_rejects_past_one_batch_are_all_kept(tmp_path: Path) -> None:
    lines = [b"no label %d" % n for n in range(20_001)]
    facts, out = run(tmp_path, lines)
    assert rows_of(out / "rejects.parquet") == [(n, "no label", x) for n, x in enumerate(lines)]
    assert facts == {
        "read": 20_001,
        "ignored": 0,
        "repeated": 0,
        "rejected": {"no label": 20_001},
        "rows": {},
    }


def test_a_line_of_a_megabyte_is_rejected_and_kept(tmp_path: Path) -> None:
    long = b"__label__2 " + b"so very good " * 80_000
    assert len(long) > 1_000_000
    facts, out = run(tmp_path, [*good(2), long, *good(2)])
    assert rows_of(out / "rejects.parquet") == [(2, "longer than 262,144 bytes", long)]
    assert facts["rows"] == {"train": {"negative": 2, "positive": 2}}


def test_rows_are_counted_per_split_and_class(tmp_path: Path) -> None:
    lines = [as_line(0, "thin"), as_line(1, "warm"), as_line(0, "cold"), BAD]
    facts, _ = run(tmp_path, lines, split="validation")
    assert facts["rows"] == {"validation": {"negative": 2, "positive": 1}}


@pytest.mark.parametrize(("limit", "read"), [(1, 1), (5, 5), (9, 9), (10, 9), (None, 9)])
def test_the_limit_counts_lines_rejects_among_them(
    tmp_path: Path, limit: int | None, read: int
) -> None:
    lines = [*good(2), BAD, *good(6)]
    facts, out = run(tmp_path, lines, limit=limit)
    assert facts["read"] == read
    assert joined(out, "train") == parsed(lines[:limit])[0]


def test_a_limit_reads_no_further_than_it_says(tmp_path: Path) -> None:
    source = tmp_path / "cut.ft.txt.bz2"
    packed = bz2.compress(b"\n".join(good(4)) + b"\n")
    source.write_bytes(packed + packed[:-9])
    config = IngestConfig()
    (tmp_path / "out").mkdir()
    facts = ingest_file(source, split="train", limit=4, ingest=config, out=tmp_path / "out")
    assert facts["read"] == 4
    with pytest.raises(ArchiveError, match="truncated"):
        ingest_file(source, split="train", limit=None, ingest=config, out=tmp_path / "out")


@settings(max_examples=40)
@given(
    kept=st.lists(st.booleans(), max_size=12),
    shard_size=st.integers(1, 5),
)
def test_halves_are_those_of_a_plain_list(
    tmp_path_factory: pytest.TempPathFactory, kept: list[bool], shard_size: int
) -> None:
    lines = [line if keep else BAD for line, keep in zip(good(len(kept)), kept, strict=True)]
    folder = tmp_path_factory.mktemp("halves")
    facts, out = run(folder, lines, split="halves", shard_size=shard_size)
    valid, rejected = parsed(lines)
    half = len(valid) // 2
    assert joined(out, "validation") == valid[:half]
    assert joined(out, "test") == valid[half:]
    assert rows_of(out / "rejects.parquet") == [tuple(reject) for reject in rejected]
    assert all(path.suffix == ".parquet" for path in out.iterdir())  # no helper is left
    expected = {"validation": valid[:half], "test": valid[half:]}
    assert facts["rows"] == {
        split: {
            "negative": sum(review.label == 0 for review in reviews),
            "positive": sum(review.label == 1 for review in reviews),
        }
        for split, reviews in expected.items()
        if reviews
    }


class TestHashedSplit:
    def test_every_review_is_in_the_split_that_its_text_says(self, tmp_path: Path) -> None:
        lines = good(60)
        _, out = run(tmp_path, lines, split="hash", held_out=0.4)
        valid, _ = parsed(lines)
        for split in ("train", "validation", "test"):
            chosen = [
                review for review in valid if hashed_split(text_hash(review.text), 0.4) == split
            ]
            assert joined(out, split) == chosen
            assert chosen  # so that the test means something

    def test_equal_texts_share_a_split_whatever_their_label_and_row(self, tmp_path: Path) -> None:
        twice = [as_line(label, f"text {n}") for label in (0, 1) for n in range(60)]
        _, out = run(tmp_path, twice, split="hash", held_out=0.5)
        places = Counter(
            (review.text, split)
            for split in ("train", "validation", "test")
            for review in joined(out, split)
        )
        assert len(places) == 60
        assert set(places.values()) == {2}

    def test_texts_that_count_as_duplicates_share_a_split(self, tmp_path: Path) -> None:
        twice = [as_line(1, text) for n in range(60) for text in (f"a b {n}", f" A  b {n}")]
        _, out = run(tmp_path, twice, split="hash", held_out=0.5)
        for split in ("train", "validation", "test"):
            rows = {review.row for review in joined(out, split)}
            assert {row ^ 1 for row in rows} == rows

    def test_the_split_of_a_text_never_changes(self) -> None:
        known = {"très bon": "validation", "Hot  TEA": "train", "warm bread": "test"}
        assert {text: hashed_split(text_hash(text), 0.5) for text in known} == known

    def test_the_shares_are_about_right(self) -> None:
        splits = Counter(hashed_split(text_hash(f"review number {n}"), 0.2) for n in range(5_000))
        assert splits["train"] / 5_000 == pytest.approx(0.8, abs=0.03)
        assert splits["validation"] / 5_000 == pytest.approx(0.1, abs=0.02)
        assert splits["test"] / 5_000 == pytest.approx(0.1, abs=0.02)

    def test_holding_out_more_takes_from_the_training_reviews_only(self) -> None:
        texts = [f"review number {n}" for n in range(500)]
        few, many = (
            {text for text in texts if hashed_split(text_hash(text), share) != "train"}
            for share in (0.1, 0.3)
        )
        assert few < many


class TestRejectRate:
    def test_above_the_rate_is_an_error_with_reasons_and_first_line(self, tmp_path: Path) -> None:
        lines = [*good(2), b"no label here", *good(4), BAD, BAD, *good(1)]
        with pytest.raises(RejectRateError) as caught:
            run(tmp_path, lines, max_reject_rate=0.2)
        message = str(caught.value)
        assert str(tmp_path / "reviews.ft.txt.bz2") in message
        assert "3 of 10 lines rejected (30.00%)" in message
        assert "max_reject_rate allows (20.00%)" in message
        assert "unknown label: 2, no label: 1" in message
        assert "First: line 3 (no label)" in message

    def test_the_rejected_lines_are_attached(self, tmp_path: Path) -> None:
        with pytest.raises(RejectRateError) as caught:
            run(tmp_path, [BAD, *good(2)], max_reject_rate=0.1)
        assert caught.value.attachment == tmp_path / "out" / "rejects.parquet"
        assert rows_of(caught.value.attachment) == [(0, "unknown label", BAD)]

    @pytest.mark.parametrize(
        ("bad", "lines", "rate"), [(1, 100, 0.01), (3, 300, 0.01), (1, 3, 1 / 3)]
    )
    def test_exactly_at_the_rate_passes(
        self, tmp_path: Path, bad: int, lines: int, rate: float
    ) -> None:
        facts, _ = run(tmp_path, [BAD] * bad + good(lines - bad), max_reject_rate=rate)
        assert facts["rejected"] == {"unknown label": bad}

    def test_a_file_of_which_most_is_rejected_is_not_read_to_its_end(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A few bytes of bz2 may hold a billion empty lines."""
        monkeypatch.setattr("sentiment.data.ingest.HOPELESS", 2 * REPORT_EVERY)
        lines = [b""] * 4 * REPORT_EVERY
        with pytest.raises(RejectRateError, match="10,000 of 10,000 lines rejected") as caught:
            run(tmp_path, lines, max_reject_rate=0.01)
        assert caught.value.attachment is not None
        assert len(rows_of(caught.value.attachment)) == 2 * REPORT_EVERY

    @pytest.mark.parametrize(
        ("bad", "rate"), [(REPORT_EVERY, 0.3), (3 * REPORT_EVERY, 0.8)], ids=["half", "allowed"]
    )
    def test_a_file_that_may_still_be_good_is_read_to_its_end(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: int, rate: float
    ) -> None:
        monkeypatch.setattr("sentiment.data.ingest.HOPELESS", 2 * REPORT_EVERY)
        lines = good(REPORT_EVERY)
        facts, _ = run(tmp_path, [*lines, *[b""] * bad, *lines, *lines], max_reject_rate=rate)
        assert facts["rejected"] == {"empty line": bad}

    def test_one_line_more_does_not(self, tmp_path: Path) -> None:
        with pytest.raises(RejectRateError, match=r"line 1 .*line 2 .*line 3 "):
            run(tmp_path, [BAD] * 4 + good(296), max_reject_rate=0.01)

    def test_a_table_has_rows_where_other_files_have_lines(self, tmp_path: Path) -> None:
        source = tmp_path / "reviews.csv"
        source.write_text("label,text\n1,Warm\n7,Odd\n")
        with pytest.raises(RejectRateError, match=r"1 of 2 rows rejected.*First: row 2 \(unknown"):
            ingest_file(source, split="train", limit=None, ingest=IngestConfig(), out=tmp_path)

    @pytest.mark.parametrize("rate", [0.01, 1.0])
    def test_stars_are_never_read_as_0_and_1(self, tmp_path: Path, rate: float) -> None:
        source = tmp_path / "reviews.csv"
        source.write_text("stars,text\n" + "".join(f"{n % 5 + 1},Warm\n" for n in range(50)))
        config = IngestConfig(max_reject_rate=rate)
        with pytest.raises(RejectRateError) as caught:
            ingest_file(source, split="train", limit=None, ingest=config, out=tmp_path)
        message = str(caught.value)
        assert "Labels found: '1' (10), '2' (10), '3' (10), '4' (10), '5' (10)" in message
        option = "--set 'ingest.labels={negative: [1, 2], positive: [4, 5], ignore: [3]}'"
        assert message.endswith(option)
        assert ("1 may not mean positive" in message) == (rate == 1)

    def test_lines_of_five_stars_are_explained_too(self, tmp_path: Path) -> None:
        lines = [f"__label__{n % 5 + 1} Warm".encode() for n in range(50)]
        with pytest.raises(RejectRateError) as caught:
            run(tmp_path, lines, max_reject_rate=0.01)
        message = str(caught.value)
        assert "Labels found: '3' (10), '4' (10), '5' (10)" in message
        option = "--set 'ingest.labels={negative: [1, 2], positive: [4, 5], ignore: [3]}'"
        assert message.endswith(option)

    def test_ignored_rows_do_not_count(self, tmp_path: Path) -> None:
        source = tmp_path / "reviews.csv"
        source.write_text(
            "stars,text\n" + "3,So so\n" * 90 + "5,Warm\n1,Thin\n" * 4 + "0,Odd\n" * 2
        )
        labels = {"negative": [1], "positive": [5], "ignore": 3}

        def ingested(rate: float) -> dict[str, Any]:
            config = IngestConfig.model_validate({"labels": labels, "max_reject_rate": rate})
            return ingest_file(source, split="train", limit=None, ingest=config, out=tmp_path)

        assert ingested(0.2) == {
            "read": 100,
            "ignored": 90,
            "repeated": 0,
            "rejected": {"unknown label": 2},
            "rows": {"train": {"negative": 4, "positive": 4}},
        }
        with pytest.raises(RejectRateError, match="2 of 10 rows rejected"):
            ingested(0.19)

    def test_another_encoding_is_proposed(self, tmp_path: Path) -> None:
        source = tmp_path / "reviews.csv"
        source.write_bytes(b"label,text\n1,caf\xe9\n")
        with pytest.raises(RejectRateError, match="add --encoding latin-1"):
            ingest_file(source, split="train", limit=None, ingest=IngestConfig(), out=tmp_path)

    def test_only_the_lines_within_the_limit_count(self, tmp_path: Path) -> None:
        facts, _ = run(tmp_path, [*good(5), BAD, BAD], limit=5, max_reject_rate=0.0)
        assert facts["rejected"] == {}


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    facts, _ = run(tmp_path, [], max_reject_rate=0.0)
    assert facts == {"read": 0, "ignored": 0, "repeated": 0, "rejected": {}, "rows": {}}


@given(
    st.lists(st.tuples(st.booleans(), st.text(st.sampled_from("ab A"), min_size=1)), max_size=30),
    st.sampled_from(["train", "halves", "hash"]),
)
def test_dropping_what_is_repeated_keeps_the_first(
    tmp_path_factory: pytest.TempPathFactory, reviews: list[tuple[bool, str]], split: str
) -> None:
    folder = tmp_path_factory.mktemp("drop")
    lines = [f"__label__{1 + label} {text}".encode() for label, text in reviews]
    facts, out = run(folder, lines, split=split, duplicates="drop")
    first: dict[str, int] = {}
    for row, (_, text) in enumerate(reviews):
        if text.strip():
            first.setdefault(" ".join(text.lower().split()), row)
    kept = [review.row for name in SPLITS for review in joined(out, name)]
    assert sorted(kept) == sorted(first.values())
    assert facts["repeated"] == sum(bool(text.strip()) for _, text in reviews) - len(first)


@pytest.mark.parametrize("split", ["train", "halves", "hash"])
def test_the_same_file_gives_the_same_bytes(tmp_path: Path, split: str) -> None:
    lines = [*good(20), BAD, *good(9)]
    outs = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        outs.append(run(tmp_path / name, lines, split=split, shard_size=7, held_out=0.5)[1])
    assert contents(outs[0]) == contents(outs[1])
    assert len(contents(outs[0])) > 3


def test_progress_counts_lines(tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    source = write_bz2(tmp_path / "reviews.ft.txt.bz2", [*good(10_000), BAD])
    ingest_file(
        source,
        split="train",
        limit=None,
        ingest=IngestConfig(),
        out=tmp_path,
        progress=lambda done, total=None, **_: seen.append((done, total)),
    )
    assert seen == [(5_000, None), (10_000, None), (10_001, 10_001)]


@pytest.mark.parametrize("limit", [None, 90, 400, 5_000])
def test_progress_reports_the_share_of_the_bytes_or_of_the_limit(
    tmp_path: Path, limit: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sentiment.data.ingest.REPORT_EVERY", 30)
    monkeypatch.setattr("sentiment.data.archives.READ_BYTES", 1_000)
    lines, length = 400, 50
    line = b"__label__2 " + b"x" * (length - len(b"__label__2 \n")) + b"\n"
    source = tmp_path / "reviews.txt"
    source.write_bytes(line * lines)
    reported: list[tuple[int, float]] = []
    ingest_file(
        source,
        split="train",
        limit=limit,
        ingest=IngestConfig(),
        out=tmp_path,
        progress=lambda done, total=None, **figures: reported.append((done, figures["share"])),
    )
    expected = {
        row: max(-(-row * length // 1_000) * 1_000 / (lines * length), row / (limit or lines))
        for row in range(30, min(lines, limit or lines) + 1, 30)
    }
    assert len(expected) >= 3
    assert reported[:-1] == [(row, min(1.0, share)) for row, share in expected.items()]
    assert reported[-1] == (min(lines, limit or lines), 1.0)


BOTH = {"negative": 4, "positive": 4}


def test_splits_that_can_be_used_pass() -> None:
    check_splits({"train": BOTH, "validation": BOTH, "test": {"negative": 0, "positive": 1}})


@pytest.mark.parametrize("missing", ["train", "validation", "test"])
@pytest.mark.parametrize("how", [None, {}, {"negative": 0, "positive": 0}])
def test_a_split_without_a_valid_review_is_refused(
    missing: str, how: dict[str, int] | None
) -> None:
    rows = {"train": BOTH, "validation": BOTH, "test": BOTH}
    rows = {split: classes for split, classes in rows.items() if split != missing}
    if how is not None:
        rows[missing] = how
    with pytest.raises(DataError, match=f"The {missing} split has no valid review"):
        check_splits(rows)


@pytest.mark.parametrize(
    ("classes", "missing"),
    [({"negative": 1_200, "positive": 0}, "positive"), ({"positive": 1_200}, "negative")],
)
def test_training_reviews_of_one_class_are_refused(classes: dict[str, int], missing: str) -> None:
    with pytest.raises(DataError, match=f"All 1,200 training reviews .* none is {missing}"):
        check_splits({"train": classes, "validation": BOTH, "test": BOTH})
