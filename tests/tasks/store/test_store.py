"""The store: keys, hits, damage, atomic results, locks."""

import json
import multiprocessing
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sentiment.errors import DataError, StageError, StorageError
from sentiment.files import digest_file
from sentiment.progress import Progress, silent
from sentiment.settings import Settings, operational
from tasks.manifest import Artifact, Manifest
from tasks.stage import Request, Stage
from tasks.store.store import MANIFEST, Built, Store

CALLS: list[str] = []


class Config(Settings):
    """Settings of the stage below."""

    word: str = "calm"
    workers: int = operational(1, description="Spreads the work.")


def shout(
    source: Path, *, config: Config, out: Path, progress: Progress = silent
) -> dict[str, Any]:
    """A small stage: copy a file in capitals, with a word at its end."""
    CALLS.append(config.word)
    text = source.read_text().upper() + config.word
    (out / "loud.txt").write_text(text)
    progress(1, 1)
    return {"length": len(text), "begins": text[:1]}


def fail(source: Path, *, config: Config, out: Path, progress: Progress = silent) -> dict[str, Any]:
    (out / "half.txt").write_text("half")
    (out / "evidence.txt").write_text("what went wrong")
    error = DataError("It went wrong.")
    error.attachment = out / "evidence.txt"
    raise error


def go_on(
    source: Path, *, config: Config, out: Path, progress: Progress = silent
) -> dict[str, Any]:
    """Write the text, and tell of an earlier attempt."""
    return {**shout(source, config=config, out=out), "seconds_before": 1_000.0}


def shout_to(
    source: Path, *, config: Config, out: Path, listener: list[str], progress: Progress = silent
) -> dict[str, Any]:
    listener.append("shouting")
    return shout(source, config=config, out=out)


@contextmanager
def listening(*, source: Path, config: Config) -> Iterator[dict[str, Any]]:
    """Give the function a listener, and note what it heard."""
    heard = [f"open {source.name} {config.workers}"]
    yield {"listener": heard}
    CALLS.extend(heard)


def half_way(
    source: Path, *, config: Config, out: Path, checkpoints: Path, progress: Progress = silent
) -> dict[str, Any]:
    """Be interrupted after the first checkpoint, and resume from it."""
    if not (checkpoints / "step-1").exists():
        CALLS.append("begun")
        checkpoints.mkdir(parents=True, exist_ok=True)
        (checkpoints / "step-1").touch()
        raise KeyboardInterrupt
    CALLS.append("resumed")
    (out / "file").touch()
    return {}


def idle(source: Path, *, config: Config, out: Path, progress: Progress = silent) -> dict[str, Any]:
    return {}


class TestStage(Stage):
    """A stage of this module, whose code counts as one fixed piece."""

    __test__ = False

    @property
    def code(self) -> dict[str, str]:
        return {"tests/stage.py:shout": "1"}

    def has_changed(self) -> bool:
        return False


def stage(function: str = "shout", session: str | None = None) -> Stage:
    return TestStage(
        "shout", f"{__name__}:{function}", reads=(), libraries=("filelock",), session=session
    )


@pytest.fixture
def source(tmp_path: Path) -> Artifact:
    path = tmp_path / "in.txt"
    path.write_text("hello ")
    return Artifact("in.txt", str(path), digest_file(path), 6, 0)


# The tests with this mark run on a folder and on S3.
anywhere = pytest.mark.parametrize("store", ["folder", "s3"], indirect=True)


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    CALLS.clear()
    if getattr(request, "param", "folder") == "s3":
        return Store.at(str(request.getfixturevalue("url")))
    return Store(tmp_path / "storage")


def manifest_of(asked: Request) -> str:
    """Return the path of a result's manifest in the store."""
    return f"{asked.stage.name}/{asked.key}/{MANIFEST}"


def request(source: Artifact, function: str = "shout", **config: Any) -> Request:
    return Request(stage(function), "it", {"source": source}, {"config": Config(**config)})


def output(store: Store, manifest: Manifest) -> Path:
    return store.root / manifest.output("loud.txt").path


@anywhere
def test_a_result_is_computed_once(store: Store, source: Artifact) -> None:
    first, second = store.build(request(source)), store.build(request(source))
    assert (first.computed, second.computed) == (True, False)
    assert first.manifest == second.manifest
    assert str(first.manifest) == str(second.manifest)  # in the same order, too
    assert CALLS == ["calm"]
    assert output(store, first.manifest).read_text() == "HELLO calm"
    assert first.manifest.stats == {"length": 10, "begins": "H"}


@anywhere
def test_the_manifest_says_what_the_key_is_made_of(store: Store, source: Artifact) -> None:
    manifest = store.build(request(source)).manifest
    assert manifest.inputs["source"][0]["sha256"] == source.sha256
    assert manifest.config == {"config": {"word": "calm"}}
    assert manifest.code == {"tests/stage.py:shout": "1"}
    assert list(manifest.libraries) == ["filelock"]
    assert manifest.outputs[0].sha256 == digest_file(output(store, manifest))
    assert Manifest.from_json(manifest.to_json()) == manifest
    numbered = replace(manifest, stats={str(n): n / 7 for n in range(12)})
    assert Manifest.from_json(numbered.to_json()) == numbered


def test_only_what_shapes_the_output_is_in_the_key(source: Artifact, tmp_path: Path) -> None:
    key = request(source).key
    assert request(source, workers=8).key == key
    assert request(source, word="wild").key != key
    assert request(source, "idle").key != key
    moved = Artifact("copy.txt", str(tmp_path / "copy.txt"), source.sha256, 6, 99)
    assert request(moved).key == key
    assert request(Artifact("in.csv", source.path, source.sha256, 6, 0)).key != key
    other = Artifact("in.txt", source.path, "0" * 64, 6, 0)
    assert request(other).key != key


@anywhere
def test_a_session_gives_more_arguments_and_is_in_no_key(store: Store, source: Artifact) -> None:
    plain = request(source, "shout_to", workers=3)
    asked = replace(plain, stage=stage("shout_to", f"{__name__}:listening"))
    assert asked.key == plain.key
    store.build(asked)
    assert CALLS == ["calm", "open in.txt 3", "shouting"]


def test_a_changed_code_or_library_changes_the_key(
    source: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = request(source).key
    monkeypatch.setattr(TestStage, "code", {"tests/stage.py:shout": "2"})
    assert request(source).key != key
    monkeypatch.undo()
    monkeypatch.setattr("tasks.stage.installed", lambda name: "99.0")
    assert request(source).key != key


@pytest.mark.parametrize("damage", ["deleted", "shorter", "flipped", "no manifest", "bad manifest"])
def test_a_damaged_result_is_found_out_and_made_again(
    store: Store, source: Artifact, damage: str
) -> None:
    manifest = store.build(request(source)).manifest
    path = output(store, manifest)
    match damage:
        case "deleted":
            path.unlink()
        case "shorter":
            path.write_text("HELL")
        case "flipped":
            path.write_text("HELLO cald")
        case "no manifest":
            (path.parent / MANIFEST).unlink()
        case "bad manifest":
            (path.parent / MANIFEST).write_text('{"stage": ')
    found = store.find(request(source))
    assert found.manifest is None
    assert found.damage is not None and request(source).key in found.damage
    again = store.build(request(source))
    assert again.computed
    assert again.manifest.outputs[0].sha256 == manifest.outputs[0].sha256


@anywhere
@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "null",
        "[" * 100_000,
        {"outputs": []},
        {"outputs": [None]},
        {"outputs": [{**asdict(Artifact("n", "p", "0", 1, 1)), "path": 7}]},
        {"stats": None},
        {"inputs": []},
        {"code": "1"},
    ],
    ids=lambda content: json.dumps(content)[:40],
)
def test_a_manifest_that_is_none_is_damage(store: Store, source: Artifact, content: Any) -> None:
    asked = request(source)
    before = asdict(store.build(asked).manifest)
    text = content if isinstance(content, str) else json.dumps({**before, **content})
    store.put(manifest_of(asked), text)
    damage = store.find(asked).damage
    assert damage and damage.startswith(f"shout/{asked.key}/manifest.json is damaged (")
    assert store.results("shout") == []
    store.build(asked)
    assert store.find(asked).manifest is not None


def test_a_flip_that_keeps_the_time_is_found_by_verify(store: Store, source: Artifact) -> None:
    manifest = store.build(request(source)).manifest
    path = output(store, manifest)
    times = path.stat()
    path.write_text("HELLO cald")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert store.find(request(source)).manifest is not None
    assert store.find(request(source), verify=True).manifest is None
    store.discard(request(source), verify=True)
    assert store.build(request(source)).computed


@pytest.mark.parametrize("swapped", ["manifest", "folder"])
def test_another_result_s_manifest_is_found_out(
    store: Store, source: Artifact, swapped: str
) -> None:
    calm, wild = request(source), request(source, word="wild")
    store.build(calm)
    store.build(wild)
    if swapped == "manifest":
        shutil.copyfile(store.folder(wild) / MANIFEST, store.folder(calm) / MANIFEST)
    else:
        shutil.rmtree(store.folder(calm))
        shutil.copytree(store.folder(wild), store.folder(calm))
    assert store.find(calm).damage == (
        f"shout/{calm.key}/manifest.json is damaged (it belongs to shout/{wild.key})"
    )
    again = store.build(calm)
    assert again.computed
    assert output(store, again.manifest).read_text() == "HELLO calm"


@anywhere
@pytest.mark.parametrize("change", [('"length": 10', '"length": 99'), ("calm", "cald")])
def test_a_changed_manifest_is_found_out(
    store: Store, source: Artifact, change: tuple[str, str]
) -> None:
    store.build(request(source))
    path = manifest_of(request(source))
    seen = store.get(path)
    assert seen is not None
    store.put(path, seen.content.decode().replace(*change))
    assert "it was changed after it was written" in (store.find(request(source)).damage or "")


@anywhere
def test_a_manifest_that_names_files_elsewhere_is_found_out(store: Store, source: Artifact) -> None:
    manifest = store.build(request(source)).manifest
    (artifact,) = manifest.outputs
    moved = replace(manifest, outputs=(replace(artifact, path="elsewhere/loud.txt"),))
    store.put(manifest_of(request(source)), moved.to_json())
    assert "it names files of other folders" in (store.find(request(source)).damage or "")


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_one_flipped_bit_of_a_manifest_is_found_or_means_nothing(
    store: Store, source: Artifact, place: float, bit: int
) -> None:
    manifest = store.build(request(source)).manifest
    path = store.folder(request(source)) / MANIFEST
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[int(place * len(content))] ^= 1 << bit
    try:
        path.write_bytes(flipped)
        assert store.find(request(source)).manifest in (None, manifest)
    finally:
        path.write_bytes(content)


def test_a_stage_does_not_read_a_damaged_result(store: Store, source: Artifact) -> None:
    """A flip that keeps the time gives no cause to look into the file, but its use does."""
    loud = store.build(request(source)).manifest.output("loud.txt")
    path = store.root / loud.path
    times = path.stat()
    path.write_text("HELLO cald")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    louder = request(loud)
    with pytest.raises(StorageError, match=r"loud.txt: damaged since it was written.*--verify"):
        store.build(louder)
    assert store.find(louder).manifest is None
    store.discard(request(source), verify=True)
    store.build(request(source))
    assert store.build(louder).computed


def meddle(source: Path, *, config: Config, out: Path, progress: Progress = silent) -> Any:
    """Do as ``shout``, while another process changes the input and hides it."""
    times = source.stat()
    source.write_text(config.word)
    os.utime(source, ns=(times.st_atime_ns, times.st_mtime_ns))
    return shout(source, config=config, out=out)


def test_a_result_that_changes_while_it_is_read_gives_none(store: Store, source: Artifact) -> None:
    loud = store.build(request(source)).manifest.output("loud.txt")
    asked = request(loud, "meddle", word="HELLO cald")
    with pytest.raises(StorageError, match="damaged since it was written"):
        store.build(asked)
    assert store.find(asked).manifest is None


@anywhere
def test_discard_leaves_a_whole_result(store: Store, source: Artifact) -> None:
    store.build(request(source))
    store.discard(request(source), verify=True)
    assert not store.build(request(source)).computed


def test_a_copied_storage_still_hits(store: Store, source: Artifact, tmp_path: Path) -> None:
    store.build(request(source))
    shutil.copytree(store.root, tmp_path / "copy", copy_function=shutil.copyfile)
    shutil.rmtree(store.root)
    copy = Store(tmp_path / "copy")
    assert not copy.build(request(source)).computed
    path = copy.root / copy.find(request(source)).manifest.outputs[0].path  # type: ignore[union-attr]
    assert path.stat().st_mtime_ns == copy.build(request(source)).manifest.outputs[0].mtime_ns


@anywhere
def test_force_computes_again(store: Store, source: Artifact) -> None:
    store.build(request(source))
    assert store.build(request(source), force=True).computed
    assert CALLS == ["calm", "calm"]
    assert store.find(request(source)).manifest is not None


def test_a_forced_request_starts_from_scratch_and_resumes_itself(
    store: Store, source: Artifact
) -> None:
    """The same command resumes an interrupted run, also one with --force."""
    asked = replace(request(source), stage=replace(stage("half_way"), resumable=True))
    for force in (False, True):  # the second one does not resume where the first one ended
        with pytest.raises(KeyboardInterrupt):
            store.build(asked, force=force)
    assert CALLS == ["begun", "begun"]
    assert store.build(asked, force=True).computed
    assert CALLS == ["begun", "begun", "resumed"]
    assert not asked.checkpoints(store.root).exists()
    with pytest.raises(KeyboardInterrupt):
        store.build(asked, force=True)
    assert store.build(asked).computed is False
    assert CALLS == ["begun", "begun", "resumed", "begun"]


@anywhere
def test_a_failure_leaves_nothing_but_its_attachment(store: Store, source: Artifact) -> None:
    with pytest.raises(DataError, match=r"wrong\.\nThe rejected rows are kept in") as caught:
        store.build(request(source, "fail"))
    (kept,) = (store.root / "failed").rglob("*.txt")
    path = kept.relative_to(store.root).as_posix()
    assert store.place(path) in str(caught.value)
    assert store.get(path).content == b"what went wrong"  # type: ignore[union-attr]
    assert list((store.root / "shout").iterdir()) == []


@anywhere
def test_the_seconds_of_an_earlier_attempt_count(store: Store, source: Artifact) -> None:
    assert 1_000 <= store.build(request(source, "go_on")).manifest.seconds < 1_060


@anywhere
def test_a_stage_that_writes_nothing_is_an_error(store: Store, source: Artifact) -> None:
    with pytest.raises(StageError, match="wrote no file"):
        store.build(request(source, "idle"))


def test_what_a_killed_run_left_is_removed(store: Store, source: Artifact) -> None:
    left = store.root / "shout" / f".{request(source).key}-12345"
    left.mkdir(parents=True)
    (left / "loud.txt").write_text("HEL")
    store.build(request(source))
    assert [path.name for path in (store.root / "shout").iterdir()] == [request(source).key]


def test_a_result_that_a_kill_left_aside_comes_back(store: Store, source: Artifact) -> None:
    """A forced run renames the old result and then the new one; a kill may come between."""
    kept = store.build(request(source)).manifest
    folder = store.folder(request(source))
    folder.rename(folder.with_name(f".{folder.name}-discarded"))
    assert store.build(request(source)) == Built(kept, computed=False)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def _build_slowly(root: str, source: Artifact, started: Any, results: Any) -> None:
    started.wait()
    results.put(Store(Path(root)).build(request(source)).computed)


def test_processes_at_once_do_the_work_once(store: Store, source: Artifact) -> None:
    context = multiprocessing.get_context("spawn")
    started, results = context.Barrier(3), context.Queue()
    workers = [
        context.Process(target=_build_slowly, args=(str(store.root), source, started, results))
        for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    computed = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(timeout=60)
    assert sorted(computed) == [False, False, True]
