"""The scores as files: their formats, the columns kept, and a limit on rows without a score."""

import json
import math
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sentiment.errors import ConfigError, DataError, RejectRateError
from sentiment.scoring.inputs import SCORES, ScoreConfig
from sentiment.scoring.score_files import check_bad_rows, score_files
from tests.support.bundles import Trained
from tests.support.reviews import contents, made_up_reviews

TEXTS = [text for _, text in made_up_reviews(25, seed=31)]


@pytest.fixture
def score(trained: Trained, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def run(*files: Path, out: str = "out", **settings: Any) -> Any:
        config = ScoreConfig.model_validate({"chunk_size": 10, **settings})
        return score_files(files, tmp_path / out, model=trained.bundle, config=config)

    return run


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "new.csv"
    frame = pd.DataFrame({"id": [f"b{n}, no. {n}" for n in range(25)], "text": TEXTS})
    frame.loc[3, "text"] = ""
    frame["note"] = ["two\nlines" if n == 5 else None for n in range(25)]
    frame.to_csv(path, index=False)
    return path


def read(folder: Path, form: str) -> pd.DataFrame:
    parts = sorted(folder.glob(f"part-*.{form}"))
    readers = {
        "parquet": pd.read_parquet,
        "csv": pd.read_csv,
        "jsonl": lambda path: pd.read_json(path, lines=True, precise_float=True),
    }
    return pd.concat([readers[form](part) for part in parts], ignore_index=True)


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return frame.astype(object).where(frame.notna(), "").to_dict("records")  # type: ignore[return-value]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_every_format_holds_the_same_scores(
    score: Any, source: Path, tmp_path: Path, form: str
) -> None:
    settings = {"keep": ["id", "note"], "with_text": True}
    score(source, out="parquet", **settings)
    score(source, out=form, format=form, **settings)
    expected = read(tmp_path / "parquet" / source.name, "parquet")
    found = read(tmp_path / form / source.name, form)
    assert len(found) == 25
    assert list(found.columns) == ["id", "note", "row", "text", *SCORES.names[1:]]
    assert rows_of(found) == rows_of(expected)
    assert found["id"].tolist() == [f"b{n}, no. {n}" for n in range(25)]


def test_the_whole_output_is_a_folder_that_pandas_reads(
    score: Any, source: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.txt"
    other.write_text("\n".join(TEXTS))
    score(source, other)
    assert len(pd.read_parquet(tmp_path / "out")) == 50
    strange = {path.name for path in (tmp_path / "out").rglob("*") if path.is_file()} - {
        f"part-0000{n}.parquet" for n in range(3)
    }
    assert strange == {"_scores.json", "_manifest.json", ".lock"}


@pytest.mark.parametrize("form", ["csv", "jsonl"])
@pytest.mark.parametrize("damage", ["part", "tally", "cut", "both"])
def test_a_missing_or_damaged_part_is_made_again(
    score: Any, source: Path, tmp_path: Path, form: str, damage: str
) -> None:
    first = score(source, format=form)
    folder = tmp_path / "out" / source.name
    before = contents(folder)
    part, tally = folder / f"part-00001.{form}", folder / "_part-00001.json"
    if damage in ("part", "both"):
        part.unlink()
    if damage in ("tally", "both"):
        tally.unlink()
    if damage == "cut":
        part.write_bytes(part.read_bytes()[:-5])
    (folder / "._part-00001.json-1-0a").write_text("{")
    again = score(source, format=form)
    assert contents(folder) == before
    assert (again["scored"], again["rows_per_second"] > 0) == (first["scored"], True)
    assert score(source, format=form)["rows_per_second"] == 0


def test_another_format_or_column_is_another_setting(score: Any, source: Path) -> None:
    score(source)
    for settings in ({"format": "csv"}, {"keep": ["id"]}, {"separator": ","}):
        with pytest.raises(ConfigError, match="made with other settings"):
            score(source, **settings)
    score(source, max_bad_rate=1)


def test_columns_of_parquet_keep_their_types(score: Any, tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": pa.array([7, None, 9], pa.int64()),
            "day": [date(2024, 2, 29), None, date(2025, 1, 1)],
            "tags": [["a", "b"], [], None],
            "text": TEXTS[:3],
        }
    )
    pq.write_table(table, tmp_path / "new.parquet")
    kept = ["day", "tags", "id"]
    score(tmp_path / "new.parquet", keep=kept)
    assert pq.read_table(tmp_path / "out" / "new.parquet").select(kept) == table.select(kept)
    score(tmp_path / "new.parquet", keep=kept, format="csv", out="csv")
    frame = read(tmp_path / "csv" / "new.parquet", "csv")
    assert frame["tags"].tolist()[:2] == ['["a", "b"]', "[]"]
    assert frame["day"].tolist()[0] == "2024-02-29"


def test_numbers_that_json_does_not_have_are_null(score: Any, tmp_path: Path) -> None:
    values = [math.nan, math.inf, 1.5]
    columns = {"text": TEXTS[:3], "a": values, "b": [values] * 3, "c": [{"d": v} for v in values]}
    pq.write_table(pa.table(columns), tmp_path / "new.parquet")
    score(tmp_path / "new.parquet", keep=["a", "b", "c"], format="jsonl")
    (part,) = (tmp_path / "out" / "new.parquet").glob("part-*.jsonl")

    def refuse(name: str) -> None:
        raise AssertionError(name)

    rows = [json.loads(line, parse_constant=refuse) for line in part.read_text().splitlines()]
    assert [row["a"] for row in rows] == [None, None, 1.5]
    assert [row["b"] for row in rows] == [[None, None, 1.5]] * 3
    assert [row["c"] for row in rows] == [{"d": None}, {"d": None}, {"d": 1.5}]


@pytest.mark.parametrize(
    "kind",
    [
        pa.binary(),
        pa.list_(pa.binary()),
        pa.struct([("a", pa.large_binary())]),
        pa.map_(pa.string(), pa.binary(4)),
    ],
)
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_bytes_are_refused_wherever_they_are(
    score: Any, tmp_path: Path, kind: pa.DataType, form: str
) -> None:
    columns = {"text": TEXTS[:1], "raw": pa.nulls(1, kind)}
    pq.write_table(pa.table(columns), tmp_path / "new.parquet")
    with pytest.raises(DataError, match="'raw' holds bytes"):
        score(tmp_path / "new.parquet", keep=["raw"], format=form)


def test_csv_takes_views_of_text_as_text(score: Any, tmp_path: Path) -> None:
    columns = {"text": TEXTS[:2], "id": pa.array(["a", None], pa.string_view())}
    pq.write_table(pa.table(columns), tmp_path / "new.parquet")
    score(tmp_path / "new.parquet", keep=["id"], format="csv")
    assert read(tmp_path / "out" / "new.parquet", "csv")["id"].fillna("").tolist() == ["a", ""]


def test_columns_of_json_are_kept_as_text_also_in_bad_rows(score: Any, tmp_path: Path) -> None:
    lines = [{"text": "Warm", "id": 7}, {"text": None, "id": "b"}, {"text": "Thin", "id": {"n": 1}}]
    path = tmp_path / "new.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + "no JSON\n")
    score(path, keep=["id"])
    rows = pq.read_table(tmp_path / "out" / path.name).to_pylist()
    assert [row["id"] for row in rows] == ["7", "b", '{"n": 1}', None]
    assert [row["reason"] for row in rows] == [None, "null", None, "not valid JSON"]


@pytest.mark.parametrize(
    ("keep", "fault"),
    [
        ("label", "have a column 'label' of their own"),
        ("text", "or use --with-text"),
        ("nowhere", "no column 'nowhere'. It has id, text, note."),
    ],
)
def test_a_column_that_cannot_be_kept_is_an_error(
    score: Any, source: Path, keep: str, fault: str
) -> None:
    with pytest.raises(DataError, match=fault):
        score(source, keep=[keep])


def test_a_column_is_kept_once_and_as_what_a_file_can_hold(score: Any, tmp_path: Path) -> None:
    path = tmp_path / "new.parquet"
    rate = pa.array([float("nan"), 0.5])
    pq.write_table(pa.table({"text": TEXTS[:2], "raw": [b"\xff", b"a"], "rate": rate}), path)
    with pytest.raises(DataError, match="the column 'raw' is to be kept twice"):
        score(path, keep=["raw", "raw"])
    for form in ("csv", "jsonl"):
        with pytest.raises(DataError, match=f"'raw' holds bytes, which {form} cannot"):
            score(path, keep=["raw"], format=form)
    score(path, keep=["rate"], format="jsonl")
    (part,) = (tmp_path / "out" / path.name).glob("*.jsonl")
    rows = [json.loads(line, parse_constant=pytest.fail) for line in part.read_text().splitlines()]
    assert [row["rate"] for row in rows] == [None, 0.5]


@pytest.mark.parametrize("name", ["scores.csv", "scores.parquet", "a.jsonl.gz", "scores.txt"])
def test_a_file_name_for_the_folder_is_an_error(
    score: Any, source: Path, tmp_path: Path, name: str
) -> None:
    with pytest.raises(
        ConfigError, match=rf"{name}: named like a file.* --out (scores|a) --format"
    ):
        score(source, out=name)
    assert not (tmp_path / name).exists()
    assert score(source, out="scores.v2")["rows"] == 25


@pytest.mark.parametrize(
    ("bad", "limit", "fails"), [(1, 0.1, False), (2, 0.1, True), (10, 1, False)]
)
def test_too_many_bad_rows_are_an_error_and_the_scores_stay(
    score: Any, tmp_path: Path, bad: int, limit: float, fails: bool
) -> None:
    good = tmp_path / "good.txt"
    good.write_text("\n".join(TEXTS))
    path = tmp_path / "new.txt"
    path.write_bytes(b"\n".join([b"caf\xe9"] * bad + [b"Warm"] * (10 - bad)))
    summary = score(good, path)
    assert len(pd.read_parquet(tmp_path / "out" / "new.txt")) == 10
    config = ScoreConfig(max_bad_rate=limit)
    if not fails:
        check_bad_rows(summary, tmp_path / "out", config)
        return
    expected = rf"new\.txt: {bad} of 10 rows have no score .*--encoding latin-1.* scores are in"
    with pytest.raises(RejectRateError, match=expected):
        check_bad_rows(summary, tmp_path / "out", config)


def test_labels_that_are_not_known_are_counted(score: Any, tmp_path: Path) -> None:
    path = tmp_path / "new.csv"
    stars = [1, 2, 3, 4, 5] * 5
    pd.DataFrame({"text": TEXTS, "stars": stars}).to_csv(path)
    summary = score(path, label_column="stars")
    assert summary["labels_found"] == {str(n): 5 for n in range(1, 6)}
    assert (summary["other_labels"], summary["metrics"]) == (20, None)
    labels = {"negative": [1, 2], "positive": [4, 5], "ignore": [3]}
    summary = score(path, label_column="stars", labels=labels, out="mapped")
    assert (summary["other_labels"], summary["metrics"]["rows"]) == (0, 20)
    given = pq.read_table(tmp_path / "mapped" / "new.csv")["given_label"].to_pylist()
    assert given[:5] == ["negative", "negative", None, "positive", "positive"]
