"""Files in, parts out: equal to predict, whatever was there before, no row lost."""

import bz2
import errno
import gzip
import json
import math
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.ui.score_summary import score_rows, warnings_of
from sentiment import Classifier
from sentiment.errors import ArchiveError, ConfigError, DataError, ModelError, StorageError
from sentiment.evaluation.metrics import measure
from sentiment.model.bundle import Bundle
from sentiment.model.bundle_files import write_checksums
from sentiment.scoring.inputs import ScoreConfig
from sentiment.scoring.parts import SCORES, Tally
from sentiment.scoring.score_files import score_files
from tests.support.bundles import Trained, with_early_exit, with_settings
from tests.support.reviews import as_line, contents, made_up_reviews

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

REVIEWS = made_up_reviews(70, seed=31, mislabelled=0.1)
TEXTS = [text for _, text in REVIEWS]
SMALL = ScoreConfig(chunk_size=30)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "new.ft.txt.bz2"
    path.write_bytes(bz2.compress(b"".join(as_line(*review) + b"\n" for review in REVIEWS)))
    return path


@pytest.fixture
def score(trained: Trained, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def run(*files: Path, out: str = "out", config: ScoreConfig = SMALL, **more: Any) -> Any:
        return score_files(files, tmp_path / out, model=trained.bundle, config=config, **more)

    return run


def table(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(folder).to_pylist()
    return rows


def test_scores_equal_those_of_predict(score: Any, source: Path, trained: Trained) -> None:
    summary = score(source)
    rows = table(source.parent / "out" / source.name)
    classifier = Classifier.load(trained.bundle)
    expected = classifier.probabilities(TEXTS)
    np.testing.assert_allclose([r["probability"] for r in rows], expected, rtol=0, atol=1e-5)
    assert [row["label"] for row in rows] == classifier.predict(TEXTS)
    assert [row["row"] for row in rows] == list(range(70))
    assert {row["reason"] for row in rows} == {None}
    assert [row["given_label"] == "positive" for row in rows] == [bool(n) for n, _ in REVIEWS]
    assert (summary["rows"], summary["scored"], summary["bad_rows"]) == (70, 70, 0)
    assert summary["positive"] == sum(row["label"] == "positive" for row in rows)


def test_parts_have_a_fixed_number_of_rows_and_the_schema(score: Any, source: Path) -> None:
    score(source)
    parts = sorted((source.parent / "out" / source.name).glob("*.parquet"))
    assert [pq.read_metadata(part).num_rows for part in parts] == [30, 30, 10]
    assert all(pq.read_schema(part).equals(SCORES) for part in parts)


def test_the_texts_are_written_on_request(score: Any, source: Path) -> None:
    score(source, config=ScoreConfig(with_text=True))
    assert [row["text"] for row in table(source.parent / "out" / source.name)] == TEXTS


def test_metrics_are_those_of_measure(score: Any, source: Path) -> None:
    metrics = score(source)["metrics"]
    chances = [row["probability"] for row in table(source.parent / "out" / source.name)]
    labels = np.array([label for label, _ in REVIEWS])
    expected = measure(labels, np.array(chances), np.ones(70, np.int64))
    assert metrics["loss"] == pytest.approx(expected["loss"], abs=1e-12)
    for name in metrics.keys() - {"loss"}:
        assert metrics[name] == expected[name]


def test_a_later_file_is_refused_before_the_first_is_scored(score: Any, tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in ("a.txt", "b.txt", "c.csv"))
    first.write_text("Warm\n")
    second.write_text("Thin\n")
    third.write_text("n,m\n1,2\n")
    with pytest.raises(DataError, match=r"c\.csv"):
        score(first, third)
    score(second, config=ScoreConfig(threshold=0.9))
    before = (tmp_path / "out" / "_scores.json").read_bytes()
    with pytest.raises(ConfigError, match=r"b\.txt holds scores made with other settings"):
        score(first, second)
    assert not (tmp_path / "out" / "a.txt").exists()
    assert (tmp_path / "out" / "_scores.json").read_bytes() == before


def test_no_summary_outlives_the_scores_that_it_describes(
    score: Any, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score(source)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Classifier, "score_windows", lambda *_: interrupt())
        score(source, config=ScoreConfig(threshold=0.9), force=True)
    assert not (source.parent / "out" / "_scores.json").exists()
    assert score(source, config=ScoreConfig(threshold=0.9))["threshold"] == 0.9


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("missing", [[0], [1], [2], [1, 2], [0, 1, 2]])
def test_missing_parts_are_made_again_and_no_others(
    score: Any, source: Path, missing: list[int]
) -> None:
    first = score(source)
    out = source.parent / "out"
    before = contents(out)
    parts = [out / source.name / f"part-{number:05d}.parquet" for number in range(3)]
    for number in missing:
        parts[number].unlink()
    kept = {part: part.stat().st_mtime_ns for part in parts if part.exists()}
    seen: list[int] = []
    again = score(source, progress=lambda done, *_, **__: seen.append(done))
    assert contents(out) == before
    assert kept == {part: part.stat().st_mtime_ns for part in kept}
    assert seen[-1] == sum((30, 30, 10)[number] for number in missing)
    assert {k: v for k, v in again.items() if "second" not in k} == {
        k: v for k, v in first.items() if "second" not in k
    }


def test_a_damaged_part_and_what_a_kill_left_are_replaced(score: Any, source: Path) -> None:
    score(source)
    folder = source.parent / "out" / source.name
    before = contents(folder)
    part = folder / "part-00001.parquet"
    part.write_bytes(part.read_bytes()[:-40])
    (folder / ".part-00002.parquet-1-0a").write_bytes(b"PAR1")
    (folder / "._manifest.json-1-0a").write_bytes(b"{")
    score(source)
    assert contents(folder) == before


@pytest.mark.parametrize("content", ["", "[]", "[" * 100_000])
def test_a_damaged_record_of_the_input_is_another_one(
    score: Any, source: Path, content: str
) -> None:
    score(source)
    (source.parent / "out" / source.name / "_manifest.json").write_text(content)
    with pytest.raises(
        ConfigError, match="made with another input, another model and other settings"
    ):
        score(source)
    score(source, force=True)


def test_what_is_complete_is_not_read_again(
    score: Any, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = score(source)
    monkeypatch.setattr(Classifier, "score", None)
    assert score(source)["scored"] == first["scored"]


def test_the_size_of_a_part_changes_no_score(score: Any, source: Path) -> None:
    score(source)
    score(source, out="whole", config=ScoreConfig())
    chances = [
        [row["probability"] for row in table(source.parent / out / source.name)]
        for out in ("out", "whole")
    ]
    np.testing.assert_allclose(*chances, rtol=0, atol=1e-5)


@pytest.mark.parametrize("rows", [0, 30, 60])
def test_files_that_end_with_a_part(score: Any, tmp_path: Path, rows: int) -> None:
    path = tmp_path / "packed.txt.gz"
    path.write_bytes(gzip.compress("".join(f"{text}\n" for text in TEXTS[:rows]).encode()))
    for _ in range(2):
        assert score(path)["rows"] == rows
        assert len(table(tmp_path / "out" / path.name)) == rows


@pytest.mark.parametrize("changed", ["another input", "other settings", "another model"])
def test_other_scores_are_not_mixed_in(
    score: Any, source: Path, trained: Trained, tmp_path: Path, changed: str
) -> None:
    score(source)
    config, model = SMALL, trained.bundle
    if changed == "another input":
        source.write_bytes(bz2.compress(as_line(1, "A lovely lamp")))
    elif changed == "other settings":
        config = ScoreConfig(chunk_size=20)
    else:
        model = tmp_path / "model"
        model.mkdir()
        for name, content in contents(trained.bundle).items():
            (model / name).write_bytes(content)
        settings = json.loads((model / "config.json").read_text())
        settings["tensors"]["max_length"] = 39
        (model / "config.json").write_text(json.dumps(settings))
        write_checksums(model)

    def again(force: bool) -> dict[str, Any]:
        return score_files([source], tmp_path / "out", model=model, config=config, force=force)

    with pytest.raises(ConfigError, match=rf"made with {changed}\. .* --force"):
        again(False)
    summary = again(True)
    assert len(table(tmp_path / "out" / source.name)) == summary["rows"]
    assert again(False)["rows"] == summary["rows"]


def test_an_input_that_changes_while_it_is_scored_gives_no_part_of_mixed_rows(
    score: Any, trained: Trained, tmp_path: Path
) -> None:
    path = tmp_path / "plain.txt"
    lines = "".join(f"{text}\n" for text in TEXTS * 40)
    path.write_text(lines)
    config = ScoreConfig(chunk_size=1000, with_text=True)

    def progress(done: int, total: int | None = None, **figures: float) -> None:
        if done > 1000:
            path.write_text(lines.upper())

    expected = rf"^{path}: changed while it was read\. .* --force"
    with pytest.raises(DataError, match=expected):
        score(path, config=config, progress=progress)
    written = [row["text"] for row in table(tmp_path / "out" / path.name)]
    assert written == (TEXTS * 40)[:1000]
    assert not (tmp_path / "out" / "_scores.json").exists()
    assert score(path, config=config, force=True)["rows"] == len(TEXTS) * 40


def test_bad_rows_stay_with_their_reason(score: Any, tmp_path: Path) -> None:
    path = tmp_path / "bad.txt"
    lines = [b"A lovely lamp", b"", b"caf\xe9", b"x" * 300, b"__label__1", b"__label__9 A lamp"]
    path.write_bytes(b"\n".join(lines) + b"\n")
    summary = score(path, config=ScoreConfig(max_bytes=200, with_text=True))
    rows = table(tmp_path / "out" / "bad.txt")
    reasons = [None, "empty text", "invalid UTF-8", "longer than 200 bytes", "empty text", None]
    assert [row["reason"] for row in rows] == reasons
    assert [row["label"] is None for row in rows] == [reason is not None for reason in reasons]
    assert [row["probability"] is None for row in rows] == [r is not None for r in reasons]
    assert rows[5]["text"] == "A lamp"
    assert summary["barely_known"] == 0
    assert summary["bad_rows"] == 4
    assert summary["bad_rows_by_reason"] == {
        "empty text": 2, "invalid UTF-8": 1, "longer than 200 bytes": 1
    }  # fmt: skip
    assert summary["other_labels"] == 1
    assert summary["metrics"] is None


def test_rows_of_which_few_words_are_known_are_counted(score: Any, tmp_path: Path) -> None:
    path = tmp_path / "mixed.txt"
    path.write_text(
        "A lovely lamp\n\u975e\u5e38\u597d\nLampe zyxx qwyjibo lamp\n", encoding="utf-8"
    )
    summary = score(path)
    assert (summary["scored"], summary["barely_known"]) == (3, 2)
    assert summary["files"][0]["barely_known"] == 2


def test_a_file_of_nothing_but_bad_rows(score: Any, tmp_path: Path) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(b"\n\n\n")
    summary = score(path)
    assert (summary["rows"], summary["scored"], summary["positive_share"]) == (3, 0, None)
    assert summary["drift"] is None


def test_several_files_of_several_kinds_give_the_same_scores(score: Any, tmp_path: Path) -> None:
    lines = "".join(f"{text}\n" for text in TEXTS).encode()
    rows = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS).encode()
    (tmp_path / "a.txt").write_bytes(lines)
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(lines))
    (tmp_path / "c.jsonl.zst").write_bytes(zstd.compress(rows))
    pq.write_table(pa.table({"text": TEXTS}), tmp_path / "d.parquet")
    (tmp_path / "e.csv").write_bytes(b"text\n" + b"".join(f'"{t}"\n'.encode() for t in TEXTS))
    files = [tmp_path / n for n in ("a.txt", "b.txt.gz", "c.jsonl.zst", "d.parquet", "e.csv")]
    summary = score(*files)
    first, *others = (table(tmp_path / "out" / file.name) for file in files)
    assert all(other == first for other in others)
    assert summary["rows"] == 350
    assert [entry["rows"] for entry in summary["files"]] == [70] * 5
    assert json.loads((tmp_path / "out" / "_scores.json").read_text())["rows"] == 350


def test_drift_is_measured_against_the_training_reviews(
    score: Any, tmp_path: Path, source: Path, trained: Trained
) -> None:
    training = Bundle.load(trained.bundle).profile
    assert training is not None
    assert (training.reviews, training.positive) == (240, 120)
    assert score(source)["drift"]["warnings"] == []
    strange = tmp_path / "strange.txt"
    strange.write_text("Wundervoll und lovely\n" * 50)
    measured = score(strange, out="strange")["drift"]
    assert len(measured["warnings"]) == 3
    assert measured["label_share"]["scored"] == 1.0
    assert measured["unknown_share"]["scored"] > 0.5


def test_a_bundle_without_a_profile_gives_no_drift(
    trained: Trained, source: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    for name, content in contents(trained.bundle).items():
        if name != "profile.json":
            (model / name).write_bytes(content)
    write_checksums(model)
    assert score_files([source], tmp_path / "o", model=model, config=SMALL)["drift"] is None


def test_what_cannot_be_scored_is_said_before_anything_is_written(
    score: Any, source: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"gone\.txt: no such file"):
        score(source, tmp_path / "gone.txt")
    other = tmp_path / "other" / source.name
    other.parent.mkdir()
    other.write_bytes(source.read_bytes())
    with pytest.raises(DataError, match="Two input files are named"):
        score(source, other)
    with pytest.raises(ModelError):
        score_files([source], tmp_path / "out", model=tmp_path, config=SMALL)
    assert not (tmp_path / "out").exists()


def test_an_input_named_as_the_summary_is_refused(score: Any, tmp_path: Path) -> None:
    (tmp_path / "_scores.json").write_text('{"text": "lovely"}')
    summary = rf"{tmp_path}/out/_scores\.json"
    expected = rf"{tmp_path}/_scores\.json: the summary will be {summary}, .* Rename the"
    with pytest.raises(DataError, match=expected):
        score(tmp_path / "_scores.json")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("place", [".", "there/..", "linked"])
def test_the_folder_of_the_input_itself_is_refused(score: Any, source: Path, place: str) -> None:
    (source.parent / "there").mkdir()
    (source.parent / "linked").symlink_to(source.parent)
    before = contents(source.parent)
    with pytest.raises(DataError, match=r"is the input itself\. Choose another --out"):
        score(source, out=place)
    assert contents(source.parent) == before


@pytest.mark.parametrize("link", [True, False])
def test_a_folder_in_which_the_inputs_name_is_taken_is_refused(
    score: Any, source: Path, link: bool
) -> None:
    taken = source.parent / "out" / source.name
    taken.parent.mkdir()
    if link:
        taken.symlink_to("gone")
    else:
        taken.write_text("another")
    with pytest.raises(DataError, match=rf"folder {taken}, which is another file\. Choose"):
        score(source)
    assert list(taken.parent.iterdir()) == [taken]


def test_an_input_that_links_into_the_folder_is_scored(score: Any, source: Path) -> None:
    (source.parent / "out").mkdir()
    real = source.rename(source.parent / "out" / "real.txt.bz2")
    source.symlink_to(real)
    assert score(source)["rows"] == len(REVIEWS)


def test_a_truncated_archive_keeps_the_parts_before_the_damage(score: Any, tmp_path: Path) -> None:
    path = tmp_path / "cut.txt.gz"
    text = "".join(f"{text}\n" for text in TEXTS * 40).encode()
    path.write_bytes(gzip.compress(text)[:-100])
    with pytest.raises(ArchiveError, match="truncated"):
        score(path)
    folder = tmp_path / "out" / path.name
    assert len(table(folder)) % 30 == 0
    assert not list(folder.glob(".part*"))
    assert not (tmp_path / "out" / "_scores.json").exists()


def test_a_file_in_the_place_of_the_folder_is_an_error(score: Any, source: Path) -> None:
    (source.parent / "out").write_text("a file")
    with pytest.raises(StorageError, match=rf"^{source.parent}/out: is not a folder\. Choose"):
        score(source)


def test_a_folder_that_cannot_be_written_is_an_error(
    score: Any, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "part")

    monkeypatch.setattr("sentiment.scoring.score_files._write", full)
    with pytest.raises(StorageError, match=r"part: cannot be written \(No space left on device\)"):
        score(source)


def test_tallies_add_up() -> None:
    one = Tally(rows=3, reasons={"null": 1}, loss=0.5, other_labels=1, barely_known=2)
    both = one + one + Tally()
    assert (both.rows, both.reasons, both.other_labels) == (6, {"null": 2}, 2)
    assert both.barely_known == 4
    assert math.isclose(both.loss, 1.0)


def test_labels_are_those_of_the_bundles_threshold_or_of_the_one_that_is_set(
    trained: Trained, source: Path, tmp_path: Path
) -> None:
    bundle = shutil.copytree(trained.bundle, tmp_path / "bundle")
    chances = Classifier.load(bundle).probabilities(TEXTS)
    with_settings(bundle, threshold=0.9)
    for threshold, at in ((None, 0.9), (0.2, 0.2)):
        config = SMALL.model_copy(update={"threshold": threshold})
        out = tmp_path / f"{threshold}"
        summary = score_files([source], out, model=bundle, config=config)
        assert summary["threshold"] == at
        assert summary["positive"] == (chances >= at).sum()
        labels = [row["label"] == "positive" for row in table(out / source.name)]
        assert labels == (chances >= at).tolist()


def test_scores_of_a_model_of_generated_reviews_say_so(
    trained: Trained, source: Path, tmp_path: Path
) -> None:
    bundle = shutil.copytree(trained.bundle, tmp_path / "bundle")
    for generated in (False, True):
        with_settings(bundle, generated=generated)
        summary = score_files([source], tmp_path / f"{generated}", model=bundle, config=SMALL)
        assert summary["generated"] is generated
        said = [line for line in warnings_of(summary) if "generated reviews" in line]
        assert len(said) == generated


def test_fast_scores_say_how_many_reviews_a_part_answered(source: Path, tmp_path: Path) -> None:
    bundle = with_early_exit(tmp_path)
    fast = SMALL.model_copy(update={"fast": True})
    exact = score_files([source], tmp_path / "exact", model=bundle, config=SMALL)
    summary = score_files([source], tmp_path / "fast", model=bundle, config=fast)
    expected = Classifier.load(bundle, fast=True).score(TEXTS)
    found = [row["probability"] for row in table(tmp_path / "fast" / source.name)]
    np.testing.assert_allclose(found, expected.probabilities, rtol=0, atol=1e-5)
    assert (exact["exited"], summary["exited"]) == (0, expected.exited.sum())
    (row,) = [value for name, value in score_rows(summary) if name == "early exit"]
    assert row.startswith(f"{expected.exited.sum()} (")
    with pytest.raises(ConfigError, match="other settings"):
        score_files([source], tmp_path / "exact", model=bundle, config=fast)


def test_fast_scores_at_another_threshold_are_refused(source: Path, tmp_path: Path) -> None:
    bundle = with_early_exit(tmp_path)
    config = SMALL.model_copy(update={"fast": True, "threshold": 0.7})
    with pytest.raises(ConfigError, match=r"fitted for the model's threshold 0\.5"):
        score_files([source], tmp_path / "out", model=bundle, config=config)
