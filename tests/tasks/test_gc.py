"""What gc keeps and removes."""

import os
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import pytest
from filelock import FileLock

from flows.steps import STAGES
from sentiment.errors import ConfigError, StorageError
from tasks import train
from tasks.gc import collect, empty_cache
from tasks.registry.champion import promote_by_hand
from tasks.run.spec import RunSpec
from tasks.store import Store
from tasks.store.atomic import point_to
from tasks.store.objects import Objects
from tasks.store.run_records import ALIVE_FOR, RunRecord, new_run_id, read_runs
from tests.support.runs import collect_garbage, run_plainly

MakeSpec = Callable[..., RunSpec]


@pytest.fixture
def make_spec(make_spec: MakeSpec, place: str) -> MakeSpec:
    """Specs on a folder, then on S3."""
    return partial(make_spec, storage=place)


# What is about locks, links and folders, and about their absence.
in_folder = pytest.mark.parametrize("place", ["folder"], indirect=True)
under_url = pytest.mark.parametrize("place", ["s3"], indirect=True)


def record(spec: RunSpec, *, until: str, state: str | None = "completed") -> RunRecord:
    """Run some stages and record it, as a pipeline does; a state of None leaves it running."""
    run = RunRecord(spec.store, new_run_id())
    before = results(spec.store)
    for stage, manifests in run_plainly(spec, until=until).items():
        known = {f"{stage}/{m.key}" for m in manifests} <= before
        ended = "cached" if known else "completed"
        run.stage(stage, {m.label: m.key for m in manifests}, state=ended)
    if state:
        run.finish(state)
    return run


def results(store: Store) -> set[str]:
    stages = ("ingest", "tokenize", "vocabulary", "tensors", "train")
    if store.objects is not None:
        paths = [listed.path.split("/") for stage in stages for listed in store.objects.list(stage)]
        return {f"{stage}/{key}" for stage, key, *_ in paths}
    return {f"{p.parent.name}/{p.name}" for stage in stages for p in store.root.glob(f"{stage}/*")}


def runs(store: Store) -> list[str]:
    return [run["run"] for run in read_runs(store)]


def test_results_of_the_last_runs_stay(make_spec: MakeSpec, data: Path) -> None:
    first = make_spec(data)
    store = first.store
    record(first, until="vocabulary")
    old = results(store)
    record(make_spec(data, "vocabulary.min_count=1"), until="vocabulary")
    assert collect_garbage(store, keep_runs=2) == []
    both = results(store)
    (obsolete,) = {name for name in both if name.startswith("vocabulary")} & old
    planned = collect_garbage(store, dry_run=True)
    assert results(store) == both
    freed = collect_garbage(store)
    assert freed == planned
    assert both - results(store) == {obsolete}
    assert sum(entry.size for entry in freed) > 0
    run_plainly(make_spec(data, "vocabulary.min_count=1"), until="vocabulary")
    assert results(store) == both - {obsolete}


def test_a_run_that_is_active_keeps_its_results(make_spec: MakeSpec, data: Path) -> None:
    spec = make_spec(data)
    run = record(spec, until="tokenize", state=None)
    record(make_spec(data, "ingest.shard_size=7"), until="tokenize")
    before = results(spec.store)
    collect_garbage(spec.store)
    assert results(spec.store) == before
    run.finish("failed")
    assert collect_garbage(spec.store)


def _killed(root: Path, stages: dict[str, dict[str, str]]) -> None:
    """Note what a run uses, and die."""
    run = RunRecord(Store(root), new_run_id())
    for stage, used in stages.items():
        run.stage(stage, used)
    os.kill(os.getpid(), signal.SIGKILL)


@in_folder
def test_a_run_that_was_killed_counts_as_one_that_failed(make_spec: MakeSpec, data: Path) -> None:
    spec = make_spec(data)
    done = run_plainly(spec, until="tokenize")
    stages = {stage: {m.label: m.key for m in done[stage]} for stage in done}
    process = get_context("spawn").Process(target=_killed, args=(spec.store.root, stages))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    before = results(spec.store)
    assert collect_garbage(spec.store) == []  # no run completed since
    record(make_spec(data, "ingest.shard_size=7"), until="tokenize")
    collect_garbage(spec.store)
    assert not results(spec.store) & before
    assert len(runs(spec.store)) == 1


def test_a_run_that_used_nothing_pushes_nothing_out(make_spec: MakeSpec, data: Path) -> None:
    """A study whose trials are all known already."""
    spec = make_spec(data)
    record(spec, until="tokenize")
    RunRecord(spec.store, new_run_id()).finish("completed")
    before = results(spec.store)
    collect_garbage(spec.store)
    assert results(spec.store) == before


@pytest.mark.parametrize("named", ["link", "champion", "shoes"])
def test_a_model_in_use_stays(make_spec: MakeSpec, data: Path, named: str) -> None:
    spec = make_spec(data)
    record(spec, until="train")
    (model,) = (name for name in results(spec.store) if name.startswith("train/"))
    if named == "link":
        spec.store.point("models/latest", model)
    else:
        promote_by_hand(spec.store, model, None, who="Ada", why="", name=named)
    record(make_spec(data, "tokenize.urls=keep"), until="tokenize")
    collect_garbage(spec.store)
    assert model in results(spec.store)
    assert not any(name.startswith("tensors/") for name in results(spec.store))


@in_folder
def test_a_link_left_half_way_keeps_no_model(make_spec: MakeSpec, data: Path) -> None:
    spec = make_spec(data)
    record(spec, until="train")
    (model,) = (spec.store.root / "train").iterdir()
    point_to(spec.store.root, "models/.latest-1-a", f"train/{model.name}")
    record(make_spec(data, "tokenize.urls=keep"), until="tokenize")
    collect_garbage(spec.store)
    assert not model.exists()


@in_folder
def test_a_result_in_use_survives_a_rebuild_that_was_killed(
    make_spec: MakeSpec, data: Path
) -> None:
    """Killed between its two renames: the next build puts the old result back."""
    spec = make_spec(data)
    record(spec, until="vocabulary")
    (result,) = (spec.store.root / "vocabulary").iterdir()
    discarded = result.rename(result.with_name(f".{result.name}-discarded"))
    assert collect_garbage(spec.store) == []
    assert discarded.is_dir()
    run_plainly(spec, until="vocabulary")
    assert result.is_dir() and not discarded.exists()


@in_folder
def test_records_and_locks_go_with_their_result(make_spec: MakeSpec, data: Path) -> None:
    spec = make_spec(data)
    run = record(spec, until="ingest")
    root = spec.store.root
    name = next(f"ingest-{p.name}" for p in (root / "ingest").iterdir())
    (root / "prefect").mkdir()
    (root / "prefect" / name).write_text("{}")
    record(make_spec(data, "ingest.shard_size=7"), until="ingest")
    collect_garbage(spec.store)
    assert not (root / "prefect" / name).exists()
    assert not (root / "locks" / f"{name}.lock").exists()
    assert not (root / "runs" / run.run_id).exists()


@in_folder
def test_unfinished_work_goes_unless_someone_is_at_it(make_spec: MakeSpec, data: Path) -> None:
    spec = make_spec(data)
    record(spec, until="ingest")
    root = spec.store.root
    left, busy = root / "train" / f".{'a' * 16}-1", root / "train" / f".{'b' * 16}-2"
    left.mkdir(parents=True)
    busy.mkdir()
    with FileLock(root / "locks" / f"train-{'b' * 16}.lock"):
        collect_garbage(spec.store)
    assert (left.exists(), busy.exists()) == (False, True)


@in_folder
def test_a_request_stays_while_a_run_or_its_training_needs_it(
    make_spec: MakeSpec, data: Path
) -> None:
    spec = make_spec(data)
    folder = spec.store.root / "requests"
    run = record(spec, until="tokenize", state=None)
    run.stage("train", {"model": "a" * 16})
    folder.mkdir()
    wanted, busy, old = (folder / f"train-{digit * 16}.json" for digit in "abc")
    for path in (wanted, busy, old):
        path.write_text("{}")
    with FileLock(spec.store.root / "locks" / f"{busy.stem}.lock"):
        collect_garbage(spec.store)
        assert sorted(folder.iterdir()) == [wanted, busy]
    run.finish("failed")
    record(make_spec(data, "ingest.shard_size=7"), until="tokenize")
    collect_garbage(spec.store)
    assert not list(folder.iterdir())


def test_without_any_completed_run_everything_recorded_stays(
    make_spec: MakeSpec, data: Path
) -> None:
    spec = make_spec(data)
    record(spec, until="tokenize", state="failed")
    before = results(spec.store)
    assert collect_garbage(spec.store) == []
    assert results(spec.store) == before


FOREIGN = (
    "Documents/thesis.txt", "src/pkg/a.py", ".git/HEAD", ".git/objects/ab/cdef", "notes.txt",
    "reviews/train.ft.txt.bz2", "scores/part-00000.parquet", "train/notes.txt", "train/old/a.py",
    f"mine/{'c' * 16}/a.txt", "runs/mine/a.txt", "checkpoints/mine/a.txt", "failed/mine/a.txt",
    f"train/{'d' * 16}.txt", "requests/mine.json", f"requests/train-{'d' * 16}.txt",
)  # fmt: skip


@in_folder
def test_what_the_store_did_not_make_stays(make_spec: MakeSpec, data: Path) -> None:
    """A storage folder may be a checkout or a home folder."""
    spec = make_spec(data)
    record(spec, until="tokenize")
    for name in FOREIGN:
        path = spec.store.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    elsewhere = spec.store.root.parent / "elsewhere"
    elsewhere.mkdir()
    (spec.store.root / "train" / ("e" * 16)).symlink_to(elsewhere)
    record(make_spec(data, "ingest.shard_size=7"), until="tokenize")
    assert collect_garbage(spec.store)
    for name in FOREIGN:
        assert (spec.store.root / name).read_text() == name
    assert (spec.store.root / "train" / ("e" * 16)).is_symlink()


def test_a_folder_that_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train" / ("a" * 16)).mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(StorageError, match="not a storage folder"):
        collect_garbage(Store(tmp_path))
    assert sorted(tmp_path.rglob("*")) == before


def test_runs_with_nothing_new_push_nothing_out(make_spec: MakeSpec, data: Path) -> None:
    first = make_spec(data)
    record(first, until="tokenize")
    before = results(first.store)
    for _ in range(3):
        record(make_spec(data, "tokenize.urls=keep"), until="tokenize")
    collect_garbage(first.store, keep_runs=2)
    assert results(first.store) > before


def test_reruns_of_an_old_model_push_no_newer_one_out(make_spec: MakeSpec, data: Path) -> None:
    """A nightly run that finds everything cached, after two experiments."""
    nightly = make_spec(data)
    for spec in (
        nightly,
        make_spec(data, "tokenize.urls=keep"),
        make_spec(data, "ingest.shard_size=7"),
    ):
        record(spec, until="tokenize")
    before = results(nightly.store)
    for _ in range(7):
        record(nightly, until="tokenize")
    collect_garbage(nightly.store, keep_runs=2)
    assert results(nightly.store) == before
    collect_garbage(nightly.store, keep_runs=1)
    assert results(nightly.store) < before  # without the first experiment
    assert collect_garbage(nightly.store, keep_runs=1) == []  # and so the next night
    record(nightly, until="tokenize")
    assert next(read_runs(nightly.store))["computed"] is False


def test_a_run_dated_in_the_future_pushes_nothing_out(
    make_spec: MakeSpec, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec(data)
    record(spec, until="tokenize")
    before = results(spec.store)
    monkeypatch.setattr(f"{__name__}.new_run_id", lambda: "20960101T000000.000000-1")
    record(make_spec(data, "tokenize.urls=keep"), until="tokenize")
    collect_garbage(spec.store)
    assert results(spec.store) > before


@in_folder
def test_a_run_that_has_just_started_stays(make_spec: MakeSpec, data: Path) -> None:
    """Its folder and lock are there before its record is."""
    spec = make_spec(data)
    record(spec, until="ingest")
    folder = spec.store.root / "runs" / new_run_id()
    folder.mkdir()
    with FileLock(folder / "run.lock"):
        collect_garbage(spec.store)
        assert folder.is_dir()
    collect_garbage(spec.store)
    assert not folder.exists()


def paths(store: Store) -> set[str]:
    assert store.objects is not None
    return {listed.path for listed in store.objects.list()}


@under_url
def test_what_is_young_stays_under_a_url(make_spec: MakeSpec, data: Path) -> None:
    """Without locks age alone says that nobody is at something."""
    spec = make_spec(data)
    record(spec, until="tokenize")
    record(make_spec(data, "ingest.shard_size=7"), until="tokenize")
    before = paths(spec.store)
    stages = ["ingest", "tokenize"]
    assert collect(spec.store, stages, keep_runs=1, dry_run=False) == []
    assert collect(spec.store, stages, keep_runs=1, dry_run=False, grace=timedelta(hours=1)) == []
    assert paths(spec.store) == before
    assert collect_garbage(spec.store)
    assert paths(spec.store) < before


@under_url
def test_a_run_that_gives_no_sign_of_life_keeps_nothing_under_a_url(
    make_spec: MakeSpec, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec(data)
    run = record(spec, until="tokenize", state=None)
    before = results(spec.store)
    record(make_spec(data, "ingest.shard_size=7"), until="tokenize")
    assert collect_garbage(spec.store) == []
    monkeypatch.setattr("tasks.gc.ALIVE_FOR", -ALIVE_FOR)
    assert collect_garbage(spec.store)
    assert not results(spec.store) & before
    assert run.run_id not in runs(spec.store)
    run.finish("failed")


@under_url
def test_a_run_gives_a_sign_of_life(
    make_spec: MakeSpec, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.store.run_records.ALIVE_EVERY", 0.05)
    store = make_spec(data).store
    run = RunRecord(store, new_run_id())
    path = f"runs/{run.run_id}/run.json"
    assert store.objects is not None
    store.objects.remove([path])
    for _ in range(200):
        if store.objects.look(path) is not None:
            break
        time.sleep(0.05)
    else:
        raise AssertionError("no sign of life")
    run.finish("completed")
    assert runs(store) == [run.run_id]


@under_url
def test_files_that_no_manifest_names_go_from_a_url(make_spec: MakeSpec, data: Path) -> None:
    """Of uploads that were interrupted, and of machines that came second."""
    spec = make_spec(data)
    record(spec, until="ingest")
    objects = spec.store.objects
    assert objects is not None
    before = paths(spec.store)
    one = next(path for path in before if path.startswith("ingest/") and "manifest" not in path)
    stage, key, _, name = one.split("/")
    loser = f"{stage}/{key}/{'a' * 16}/{name}"
    unfinished = f"tokenize/{'b' * 16}/{'c' * 16}/tokens.parquet"
    foreign = ["notes.txt", "ingest/notes.txt", f"mine/{'b' * 16}/a", "runs/mine/a"]
    for path in (
        loser,
        unfinished,
        *foreign,
        "checkpoints/train-x/step-1",
        "requests/train-x.json",
    ):
        objects.put(path, b"1")
    freed = {entry.path for entry in collect_garbage(spec.store)}
    assert paths(spec.store) == before | set(foreign)
    assert f"{stage}/{key}" in freed


@under_url
def test_the_checkpoints_of_a_training_under_way_stay(make_spec: MakeSpec, data: Path) -> None:
    """Its run gives signs of life. Where a machine without a run continues, they are young."""
    spec = make_spec(data)
    run = record(spec, until="tensors", state=None)
    (request,) = train.requests(spec, run_plainly(spec, until="tensors"))
    run.stage("train", {"model": request.key})
    record(make_spec(data, "ingest.shard_size=7"), until="tokenize")
    folder = f"checkpoints/train-{request.key}"
    checkpoints = {f"{folder}/step-1", f"{folder}/forced/step-1"}
    assert spec.store.objects is not None
    for path in checkpoints:
        spec.store.objects.put(path, b"1")
    collect_garbage(spec.store)
    assert checkpoints <= paths(spec.store)
    run.finish("failed")
    collect(spec.store, ["train"], keep_runs=1, dry_run=False)
    assert checkpoints <= paths(spec.store)
    freed = {entry.path for entry in collect_garbage(spec.store)}
    assert folder in freed and not checkpoints & paths(spec.store)


@under_url
def test_a_manifest_goes_before_its_files(
    make_spec: MakeSpec, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended after any removal, gc leaves no manifest whose files are gone."""
    spec = make_spec(data)
    record(spec, until="tokenize")
    record(make_spec(data, "ingest.shard_size=7"), until="tokenize")
    removed: list[str] = []
    remove = Objects.remove

    def note(self: Objects, gone: list[str]) -> None:
        removed.extend(gone)
        remove(self, gone)

    monkeypatch.setattr(Objects, "remove", note)
    collect_garbage(spec.store)
    results = [path for path in removed if path.startswith(("ingest/", "tokenize/"))]
    assert results
    for place, path in enumerate(results):
        stage, key, *_ = path.split("/")
        manifest = f"{stage}/{key}/manifest.json"
        assert results.index(manifest) <= place


def here(store: Store) -> set[str]:
    """Return the files of stages and inputs in a store's folder of this machine."""
    folders = ("ingest", "tokenize", "vocabulary", "tensors", "train", "inputs")
    files = (path for name in folders for path in store.root.glob(f"{name}/**/*"))
    return {path.relative_to(store.root).as_posix() for path in files if path.is_file()}


def drop_cache(store: Store, *, dry_run: bool = False) -> set[str]:
    stages = [module.STAGE.name for module in STAGES]
    return {entry.path for entry in empty_cache(store, stages, dry_run=dry_run)}


@under_url
def test_a_cache_is_emptied_and_all_of_it_can_be_fetched_again(
    make_spec: MakeSpec, data: Path, url: str
) -> None:
    for path in data.iterdir():
        Objects(f"{url}-data").put(path.name, path)
    spec = make_spec(f"{url}-data")
    record(spec, until="train")
    store = spec.store
    kept = [
        store.root / name
        for name in ("checkpoints/train-x/step-1", "tune/a.db", "failed/ingest-x/rejects.parquet")
    ]
    for path in kept:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("1")
    unfinished = store.root / "train" / f".{'a' * 16}-1"
    unfinished.mkdir()
    before, there = here(store), paths(store)
    locks = sorted((store.root / "locks").iterdir())
    planned = drop_cache(store, dry_run=True)
    assert here(store) == before
    assert drop_cache(store) == planned
    assert any(path.startswith("inputs/") for path in planned)
    assert here(store) == set() and not unfinished.exists()
    assert all(path.exists() for path in (*kept, *locks))
    assert paths(store) == there
    run_plainly(make_spec(f"{url}-data", "vocabulary.min_count=1"), until="vocabulary")
    fetched = here(store) & before  # for the new vocabulary
    assert fetched and {Path(path).name for path in fetched} == {"counts.parquet"}


@under_url
def test_a_cache_keeps_what_is_not_under_the_url_yet(make_spec: MakeSpec, data: Path) -> None:
    """A run that was killed between computing a result and publishing it."""
    spec = make_spec(data)
    record(spec, until="vocabulary")
    store = spec.store
    assert store.objects is not None
    (result,) = (store.root / "vocabulary").iterdir()
    store.objects.remove([f"vocabulary/{result.name}/manifest.json"])
    before = here(store)
    drop_cache(store)
    assert here(store) == {path for path in before if path.startswith("vocabulary/")}
    discarded = result.rename(result.with_name(f".{result.name}-discarded"))
    assert drop_cache(store) == set()
    run_plainly(spec, until="vocabulary")  # which puts it back and publishes it
    assert result.is_dir() and not discarded.exists()
    drop_cache(store)
    assert here(store) == set()


@under_url
def test_a_cache_stays_while_somebody_works_there(make_spec: MakeSpec, data: Path) -> None:
    """What a lock's owner reads is not known, and a run between two stages holds only its own."""
    spec = make_spec(data)
    run = record(spec, until="tokenize", state=None)
    before = here(spec.store)
    with pytest.raises(StorageError, match=f"{run.run_id} is at work here"):
        drop_cache(spec.store)
    run.finish("failed")
    name = f"tensors-{'a' * 16}"
    work = FileLock(spec.store.root / "locks" / f"{name}.lock")
    with work, pytest.raises(StorageError, match=f"{name} is at work here"):
        drop_cache(spec.store)
    assert here(spec.store) == before
    assert drop_cache(spec.store)


@in_folder
def test_a_copy_of_a_review_file_stays_while_somebody_may_read_it(
    make_spec: MakeSpec, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec(data)
    run = record(spec, until="ingest", state=None)
    copy = spec.store.root / "inputs" / ("a" * 16)
    half = copy.with_name(f".{'b' * 16}-x_1")  # left by a killed download
    for folder in (copy, half):
        folder.mkdir(parents=True)
    collect_garbage(spec.store)
    assert copy.exists()  # it is young
    monkeypatch.setattr("tasks.gc.GRACE", timedelta(0))
    collect_garbage(spec.store)
    assert copy.exists()
    run.finish("completed")
    collect_garbage(spec.store)
    assert not copy.exists()
    assert not half.exists()


@in_folder
def test_what_a_killed_gc_left_is_removed(make_spec: MakeSpec, data: Path) -> None:
    spec = make_spec(data)
    record(spec, until="ingest")
    old = spec.store.root / "checkpoints" / f"train-{'a' * 16}"
    for folder in (old, old.with_name(f".{old.name}-removed")):
        folder.mkdir(parents=True)
        (folder / "file").touch()
    collect_garbage(spec.store)
    assert [*old.parent.iterdir()] == []


@in_folder
def test_a_folder_has_no_cache_to_empty(make_spec: MakeSpec, data: Path) -> None:
    spec = make_spec(data)
    record(spec, until="ingest")
    before = here(spec.store)
    with pytest.raises(ConfigError, match="a folder has no cache"):
        drop_cache(spec.store)
    assert here(spec.store) == before
