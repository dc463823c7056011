"""Input files: which are reviews, what each is for, and their digests."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from sentiment.data.ingest import REPORT_EVERY, IngestConfig
from sentiment.errors import ConfigError, DataError
from sentiment.files import digest_file
from tasks import ingest
from tasks.run.config import PipelineConfig
from tasks.run.spec import RunSpec
from tasks.sources import Source, digest_files, digest_sources, find_sources
from tasks.stage import Request
from tasks.store import Store
from tasks.store.inputs import DIGESTS
from tasks.store.objects import Objects
from tasks.store.place import resolved
from tests.support.s3 import faults


def touch(folder: Path, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text(name)


def paths(data: Path) -> list[Path]:
    return [source.path for source in find_sources(data)]


def test_names_say_what_a_file_is_for(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "amazon.train.ft.txt.bz2",
        "test.ft.txt.bz2",
        "validation-2.csv",
        "train_3.parquet",
        "README.md",
        "latest.txt",
        "training.notes",
        ".train.ft.txt.bz2.part",
    )
    assert [(s.role, s.path.name) for s in find_sources(tmp_path)] == [
        ("train", "amazon.train.ft.txt.bz2"),
        ("test", "test.ft.txt.bz2"),
        ("train", "train_3.parquet"),
        ("validation", "validation-2.csv"),
    ]


@pytest.mark.parametrize(
    "name", ["test.ft.txt.lz", "test.ft.txt.bz2.part", "my-test.tab", "validation.xlsx"]
)
def test_a_split_whose_only_file_cannot_be_read_is_an_error(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "train.ft.txt", name)
    with pytest.raises(DataError, match=f"{name}: named like (test|validation) reviews"):
        find_sources(tmp_path)
    touch(tmp_path, "test.csv", "validation.jsonl")
    assert len(find_sources(tmp_path)) == 3


def test_a_link_to_nowhere_is_an_error(tmp_path: Path) -> None:
    touch(tmp_path, "train.ft.txt")
    (tmp_path / "test.ft.txt").symlink_to(tmp_path / "gone")
    with pytest.raises(DataError, match="named like test reviews"):
        find_sources(tmp_path)


def test_a_link_keeps_the_name_that_says_what_it_is(tmp_path: Path) -> None:
    """As in the caches of Hugging Face, DVC and git-annex."""
    blob = tmp_path / "blobs" / "3fa1"
    blob.parent.mkdir()
    blob.write_text("label,text\n1,Warm\n0,Thin\n")
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "train.csv").symlink_to(blob)
    (tmp_path / "link").symlink_to(folder)
    for data in (folder, tmp_path / "link", resolved(folder / "train.csv")):
        sources = find_sources(data)
        (artifact,) = digest_files([Path(str(source.path)) for source in sources], tmp_path)
        assert artifact.path == str(folder / "train.csv")


def test_folders_are_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "train.ft.txt")
    (tmp_path / "test").mkdir()
    assert paths(tmp_path) == [tmp_path / "train.ft.txt"]


def test_one_file_is_for_training(tmp_path: Path) -> None:
    touch(tmp_path, "reviews.txt")
    assert find_sources(tmp_path / "reviews.txt") == [Source("train", tmp_path / "reviews.txt")]


@pytest.mark.parametrize(
    "names",
    [
        ["reviews.csv"],
        ["reviews.parquet", "README.txt", "LICENSE.txt", "_SUCCESS", ".hidden.csv", "notes.md"],
        ["part-00.csv", "part-01.csv", "part-02.csv"],
        ["reviews_2019_1.csv", "reviews_2019_2.csv"],
        ["part-00000-8f2c.snappy.parquet", "part-00001-8f2c.snappy.parquet", "_metadata.json"],
        ["reviews.ft.txt.bz2"],
        ["reviews.zip"],
    ],
)
def test_the_only_table_of_a_folder_and_its_parts_are_for_training(
    tmp_path: Path, names: list[str]
) -> None:
    touch(tmp_path, *names)
    tables = [name for name in names if name.startswith(("reviews", "part"))]
    assert find_sources(tmp_path) == [Source("train", tmp_path / name) for name in tables]


@pytest.mark.parametrize(
    "names",
    [
        ["reviews.csv", "more.csv"],
        ["part-00.csv", "part-01.csv", "users.csv"],
        ["part-00.csv", "part-01.tsv"],
        ["part_1_a.csv", "part_2_b.csv"],
        ["reviews_2018_1.csv", "reviews_2019_2.csv"],
        ["reviews.csv", "test.csv"],
        ["a.txt", "b.txt"],
        ["reviews.xlsx"],
        [],
    ],
)
def test_tables_that_may_be_anything_are_not_guessed(tmp_path: Path, names: list[str]) -> None:
    touch(tmp_path, *names)
    with pytest.raises(DataError, match="no training file here"):
        find_sources(tmp_path)


def test_compressed_and_uncompressed_together_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "train.ft.txt", "train.ft.txt.bz2")
    with pytest.raises(DataError, match="compressed and uncompressed"):
        find_sources(tmp_path)
    touch(tmp_path / "parts", "part-1.csv", "part-1.csv.gz")
    with pytest.raises(DataError, match="compressed and uncompressed"):
        find_sources(tmp_path / "parts")
    touch(tmp_path / "zip", "train.zip", "train.csv")  # whose ending the zip's name may not have
    with pytest.raises(DataError, match="compressed and uncompressed"):
        find_sources(tmp_path / "zip")


@pytest.mark.parametrize(
    ("roles", "rules"),
    [
        ({"train"}, {"train": "hash"}),
        ({"train", "test"}, {"train": "train", "test": "halves"}),
        ({"train", "validation"}, {"train": "train", "validation": "halves"}),
        (
            {"train", "validation", "test"},
            {"train": "train", "validation": "validation", "test": "test"},
        ),
    ],
)
def test_split_rules(roles: set[str], rules: dict[str, str]) -> None:
    found = ingest.split_rules(roles)
    assert {role: found[role] for role in roles} == rules


def ingest_requests(tmp_path: Path, **settings: Any) -> list[Request]:
    config = PipelineConfig(ingest=IngestConfig.model_validate(settings))
    return ingest.requests(RunSpec("p", config, tmp_path / "data", Store(tmp_path / "s")), {})


def test_a_limit_with_several_files_is_refused(tmp_path: Path) -> None:
    touch(tmp_path / "data", "a.train.txt", "b.train.txt")
    with pytest.raises(ConfigError, match="one train file"):
        ingest_requests(tmp_path, train_limit=5)


def test_a_limit_is_in_the_key_of_its_own_file_only(tmp_path: Path) -> None:
    touch(tmp_path / "data", "test.txt", "train.txt")

    def keys(**limits: int) -> list[str]:
        return [request.key for request in ingest_requests(tmp_path, **limits)]

    before, after = keys(), keys(train_limit=10)
    assert (before[0] == after[0], before[1] != after[1]) == (True, True)


def test_what_shapes_the_reviews_is_in_the_key(tmp_path: Path) -> None:
    touch(tmp_path / "data", "train.csv")
    settings: list[dict[str, Any]] = [
        {},
        {"columns": ["a"]},
        {"columns": ["b"]},
        {"label_column": "stars"},
        {"labels": {"negative": [1], "positive": [5]}},
        {"labels": {"negative": [1], "positive": [5], "ignore": [3]}},
        {"separator": ";"},
        {"header": False},
        {"quotes": False},
        {"encoding": "latin-1"},
    ]
    keys = [ingest_requests(tmp_path, **each)[0].key for each in settings]
    assert len(set(keys)) == len(settings)
    assert ingest_requests(tmp_path, encoding="latin1")[0].key == keys[-1]


def test_digests_are_remembered_until_a_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, storage = tmp_path / "data", tmp_path / "storage"
    touch(data, "train.txt", "test.txt")
    read: list[str] = []

    def digest(path: Path) -> str:
        read.append(path.name)
        return path.read_text()

    monkeypatch.setattr("tasks.sources.digest_file", digest)
    first = digest_files(paths(data), storage)
    assert read == ["test.txt", "train.txt"]
    assert digest_files(paths(data), storage) == first
    assert len(read) == 2
    os.utime(data / "train.txt", ns=(1, 1))
    digest_files(paths(data), storage)
    assert read[2:] == ["train.txt"]


@pytest.mark.parametrize(
    "content",
    ["damaged", "[]", "[" * 100_000, "null", "7", "[7]", '"ab"', "[[1], 7]", '{"a": 1}', "[]"],
)
def test_digests_that_cannot_be_read_are_taken_again(tmp_path: Path, content: str) -> None:
    """``content`` is the whole file, and what it remembers of one input."""
    data, storage = tmp_path / "data", tmp_path / "storage"
    touch(data, "train.txt")
    expected = digest_files(paths(data), storage)
    entry = json.dumps({str(data / "train.txt"): "ENTRY"}).replace('"ENTRY"', content)
    for damaged in (content, entry):
        (storage / DIGESTS).write_text(damaged)
        assert digest_files(paths(data), storage) == expected


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """A file of more reviews than ``ingest`` reads before it first reports its progress."""
    path = tmp_path / "data" / "train.txt"
    path.parent.mkdir()
    path.write_bytes(b"__label__2 A: lovely lamp\n" * 4 * REPORT_EVERY)
    return path


def overwrite(path: Path) -> None:
    """Rewrite a file in place, with as many bytes."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.write((b"__label__1 A: rusted lamp\n" * 4 * REPORT_EVERY)[:size])


@pytest.mark.parametrize("moment", ["before it is read", "while it is read"])
def test_an_input_that_changes_after_its_digest_was_taken_gives_no_result(
    reviews: Path, tmp_path: Path, moment: str
) -> None:
    (request,) = ingest_requests(tmp_path)
    if moment == "before it is read":
        overwrite(reviews)

    def progress(done: int, total: int | None = None, **figures: float) -> None:
        if done == REPORT_EVERY and moment == "while it is read":
            overwrite(reviews)

    store = Store(tmp_path / "s")
    with pytest.raises(DataError, match=rf"^{reviews}: changed while it was read\. Run the same"):
        store.build(request, progress=progress)
    assert store.find(request).manifest is None
    (again,) = ingest_requests(tmp_path)
    assert again.key != request.key
    assert store.build(again).manifest.stats["rows"]["train"]["negative"] > 0


def test_a_result_of_an_input_with_another_time_and_the_same_content_is_kept(
    reviews: Path, tmp_path: Path
) -> None:
    """As on another machine, which has a copy."""
    (request,) = ingest_requests(tmp_path)
    os.utime(reviews, ns=(1, 1))
    assert Store(tmp_path / "s").build(request).computed


def test_a_remembered_digest_that_is_wrong_is_found_and_forgotten(
    reviews: Path, tmp_path: Path
) -> None:
    store = Store(tmp_path / "s")
    (right,) = ingest_requests(tmp_path)
    digest = right.artifacts[0].sha256
    memory = store.root / DIGESTS
    memory.write_text(memory.read_text().replace(digest, "0" * 64))
    (wrong,) = ingest_requests(tmp_path)
    assert wrong.key != right.key
    with pytest.raises(DataError, match=r"changed while it was read\. Run the same"):
        store.build(wrong)
    (again,) = ingest_requests(tmp_path)
    assert again.key == right.key
    assert store.build(again).computed


def test_a_change_that_keeps_size_and_time_is_seen(reviews: Path, tmp_path: Path) -> None:
    (before,) = ingest_requests(tmp_path)
    times = reviews.stat()
    overwrite(reviews)
    os.utime(reviews, ns=(times.st_atime_ns, times.st_mtime_ns))
    (after,) = ingest_requests(tmp_path)
    assert after.key != before.key


@pytest.fixture
def there(url: str, data: Path) -> str:
    """The URL of a copy of the small data."""
    folder = f"{url}-data"
    for path in data.iterdir():
        Objects(folder).put(path.name, path)
    return folder


def test_a_url_is_read_like_a_folder(there: str, data: Path, tmp_path: Path) -> None:
    Objects(there).put("old/train.csv", b"")  # what is in folders inside is not read
    sources, local = find_sources(f"{there}/"), find_sources(data)
    assert [(s.role, s.path.name) for s in sources] == [(s.role, s.path.name) for s in local]
    store = Store(tmp_path / "storage")
    for found, known in zip(
        digest_sources(sources, store), digest_sources(local, store), strict=True
    ):
        assert (found.name, found.sha256, found.size) == (known.name, known.sha256, known.size)
        assert (found.path, found.stage) == (f"{there}/{found.name}", None)
        assert digest_file(found.local(store.root)) == found.sha256


def test_one_file_of_a_url(there: str) -> None:
    (source,) = find_sources(f"{there}/test.ft.txt.bz2")
    assert (source.role, str(source.path)) == ("train", f"{there}/test.ft.txt.bz2")


@pytest.mark.parametrize("name", ["none", "none/at/all.csv", ""])
def test_a_url_with_nothing_is_said(url: str, name: str) -> None:
    with pytest.raises(DataError, match=r"^s3://\S+: no such file or folder\. Name the reviews"):
        find_sources(f"{url}-none/{name}")


def test_a_url_without_training_reviews_is_said(url: str) -> None:
    Objects(f"{url}-data").put("notes.pdf", b"1")
    with pytest.raises(DataError, match=r"^s3://\S+: no training file here"):
        find_sources(f"{url}-data")


def test_other_machines_know_a_digest_without_the_file(
    s3: str, url: str, there: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = digest_sources(find_sources(there), Store(tmp_path / "one", Objects(url)))
    with faults(s3) as (address, seen):
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        other = Store(tmp_path / "other", Objects(url))
        assert digest_sources(find_sources(there), other) == first
        assert not [path for _, path in seen.requests if path.endswith(".bz2")]
        assert not (tmp_path / "other" / "inputs").exists()
        other.bring(first)
    assert {digest_file(a.local(other.root)) for a in first} == {a.sha256 for a in first}


def test_a_file_of_a_url_that_changed_is_read_again(there: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "storage")
    before = {a.name: a for a in digest_sources(find_sources(there), store)}
    Objects(there).put("test.ft.txt.bz2", b"other")
    after = {a.name: a for a in digest_sources(find_sources(there), store)}
    assert [name for name in before if before[name].sha256 != after[name].sha256] == [
        "test.ft.txt.bz2"
    ]
    shutil.rmtree(store.root / "inputs")
    with pytest.raises(
        DataError, match=r"test\.ft\.txt\.bz2: changed or gone since this run began"
    ):
        store.bring(before.values())
