"""The champion's file: whole or as it was, one change after the other, and the way back."""

import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sentiment.errors import ModelError, StorageError
from sentiment.evaluation.promotion import Candidate, Incumbent, PromoteConfig, judge
from sentiment.files import digest_file
from sentiment.model.bundle_files import (
    CONFIG,
    VOCABULARY,
    WEIGHTS,
    check_bundle,
    write_checksums,
)
from sentiment.model.registry import (
    CHAMPION,
    LATEST,
    model_folder,
    model_in_use,
)
from tasks.manifest import Artifact, Manifest
from tasks.registry.champion import (
    Entry,
    Registry,
    apply_verdict,
    digest_of,
    is_settled,
    promote_by_hand,
    read_registries,
    read_registry,
    roll_back,
    user,
)
from tasks.registry.in_use import bundle_at
from tasks.registry.models import list_models
from tasks.store.remote import publish
from tasks.store.store import MANIFEST, Store

LIMITS = PromoteConfig(min_accuracy=0.1)


def bare(stage: str, key: str, **about: Any) -> Manifest:
    return Manifest(
        **{
            **dict(stage=stage, label="", key=key, inputs={}, config={}, code={}, libraries={}),
            **dict(outputs=(), stats={}, seconds=0.0, created="2026-01-01"),
            **about,
        }
    )


def add_model(store: Store, key: str) -> str:
    """Write a bundle without a model, and its manifest; return its path in the storage."""
    folder = store.root / "train" / key
    folder.mkdir(parents=True)
    for name in (WEIGHTS, CONFIG, VOCABULARY):
        (folder / name).write_text(key)
    write_checksums(folder)
    outputs = [
        Artifact(path.name, f"train/{key}/{path.name}", digest_file(path), path.stat().st_size, 0)
        for path in sorted(folder.iterdir())
    ]
    manifest = bare("train", key, outputs=tuple(outputs))
    (folder / MANIFEST).write_text(manifest.to_json())
    if store.objects is not None:
        publish(store.objects, store.root, manifest)
    return f"train/{key}"


def trained_as(store: Store, key: str) -> Manifest:
    return store.read("train", key)


def decided(store: Store, key: str, accuracy: float) -> Manifest:
    """Decide on a model against the champion that there is now."""
    trained = trained_as(store, key)
    candidate = Candidate(
        digest=digest_of(trained),
        tests="t",
        threshold=0.5,
        generated=False,
    )
    now = read_registry(store).champion
    met = (
        None
        if now is None
        else Incumbent(
            model=now.model,
            digest=now.digest,
            accuracy=now.measured.accuracy if now.measured else 0.0,
            mcc=now.measured.mcc if now.measured else -1.0,
            generated=False,
        )
    )
    mcc = 2 * accuracy - 1  # as where both classes are equally frequent
    verdict = judge(accuracy, mcc, candidate, met, LIMITS)
    stats = {
        "outcome": verdict.outcome,
        "reason": verdict.reason,
        "accuracy": accuracy,
        "mcc": mcc,
        "rows": 10,
        "candidate": candidate.model_dump(),
        "champion": met and met.model_dump(),
    }
    return bare("promote", key, stats=stats, config={"promote": LIMITS.output_settings()})


# What is about files and links, whose damage is another matter in remote storage.
in_folder = pytest.mark.parametrize("place", ["folder"], indirect=True)


@pytest.fixture
def store(place: str) -> Store:
    store = Store.at(place)
    for key in ("a1", "b2", "c3"):
        add_model(store, key)
    return store


def run(store: Store, key: str, accuracy: float) -> str:
    verdict = apply_verdict(store, decided(store, key, accuracy), trained_as(store, key), "a run")
    assert verdict is not None
    return verdict.outcome


def now(store: Store) -> str:
    champion = read_registry(store).champion
    assert champion is not None
    assert bundle_at(None, store.place()) == store.root / champion.model
    return champion.model


def content_of(store: Store) -> Any:
    seen = store.get(CHAMPION)
    assert seen is not None
    return json.loads(seen.content)


def test_without_a_file_there_is_none(store: Store) -> None:
    assert read_registry(store) == Registry()


def test_the_latest_model_is_used_until_there_is_a_champion(store: Store) -> None:
    with pytest.raises(ModelError, match=r"no model here yet.*sentiment run"):
        bundle_at(None, store.place())
    store.point(LATEST, "train/a1")
    assert bundle_at(None, store.place()).resolve() == store.root / "train" / "a1"
    assert [model.key for model in list_models(store) if model.latest] == ["a1"]
    run(store, "b2", 0.8)
    assert bundle_at(None, store.place()) == store.root / "train" / "b2"


@in_folder
def test_a_champion_that_is_gone_is_said(store: Store) -> None:
    run(store, "a1", 0.8)
    shutil.rmtree(store.root / "train" / "a1")
    with pytest.raises(ModelError, match=r"train/a1: the champion's bundle is gone.*models list"):
        model_in_use(store.root)


def test_a_champion_that_is_gone_under_a_url_is_said(url: str) -> None:
    store = Store.at(url)
    add_model(store, "a1")
    run(store, "a1", 0.8)
    assert store.objects is not None
    store.objects.remove([f"train/a1/{MANIFEST}"])
    with pytest.raises(ModelError, match=r"s3://.*train/a1: not a complete model.*models list"):
        bundle_at(None, url)


def test_another_model_in_the_champion_s_place_under_a_url_is_said(url: str) -> None:
    """As after `--force train` on a GPU, whose bytes may differ."""
    store = Store.at(url)
    add_model(store, "a1")
    run(store, "a1", 0.8)
    folder = store.root / "train" / "a1"
    (folder / WEIGHTS).write_text("others")
    write_checksums(folder)
    outputs = [
        replace(a, sha256=digest_file(folder / a.name), size=(folder / a.name).stat().st_size)
        for a in trained_as(store, "a1").outputs
    ]
    assert store.objects is not None
    manifest = replace(trained_as(store, "a1"), outputs=tuple(outputs))
    publish(store.objects, store.root, manifest, replace=True)
    with pytest.raises(ModelError, match=r"s3://.*train/a1: the champion's bundle is not the one"):
        bundle_at(None, url)


def test_a_model_is_fetched_where_it_is_used(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.at(url)
    for key in ("a1", "b2"):
        add_model(store, key)
    run(store, "a1", 0.8)
    promote_by_hand(store, "train/b2", None, who="Ada", why="of shoes", name="shoes")
    monkeypatch.setenv("SENTIMENT_CACHE", str(tmp_path / "elsewhere"))
    for name, key in ((None, "a1"), ("b", "b2"), ("shoes", "b2")):
        folder = bundle_at(name and Path(name), url)
        assert folder.is_relative_to(tmp_path / "elsewhere")
        assert check_bundle(folder) == digest_of(store.read("train", key))
    with pytest.raises(ModelError, match=r"'c' matches no model\. Models in s3://"):
        bundle_at(Path("c"), url)


def test_runs_promote_what_is_better(store: Store) -> None:
    assert run(store, "a1", 0.8) == "promoted"
    assert run(store, "b2", 0.7) == "kept"
    assert now(store) == "train/a1"
    assert run(store, "c3", 0.9) == "promoted"
    assert now(store) == "train/c3"
    first, last = read_registry(store).entries
    assert (first.model, first.met, last.met and last.met.model) == ("train/a1", None, "train/a1")
    assert (last.run, last.how, last.limits) == ("a run", "run", LIMITS)
    assert last.who
    assert last.why == "promoted: 90.00% against 80.00% (MCC 0.800 against 0.600)"
    assert last.measured is not None and last.measured.accuracy == 0.9


def test_settling_twice_changes_nothing(store: Store) -> None:
    decision, trained = decided(store, "a1", 0.8), trained_as(store, "a1")
    assert [apply_verdict(store, decision, trained, "r").outcome for _ in range(2)] == [  # type: ignore[union-attr]
        "promoted",
        "champion",
    ]
    assert len(read_registry(store).entries) == 1


def test_a_decision_against_another_champion_is_not_carried_out(store: Store) -> None:
    run(store, "a1", 0.7)
    stale = decided(store, "b2", 0.8)
    run(store, "c3", 0.9)
    assert apply_verdict(store, stale, trained_as(store, "b2"), "r") is None
    assert now(store) == "train/c3"
    assert run(store, "b2", 0.8) == "kept"


def test_of_runs_at_once_the_best_model_wins(store: Store) -> None:
    """Every order of threads ends with the same champion, and with one entry a promotion."""
    accuracies = {"a1": 0.7, "b2": 0.8, "c3": 0.9}
    barrier = threading.Barrier(len(accuracies))

    def compete(key: str) -> int:
        decision = decided(store, key, accuracies[key])
        barrier.wait()  # all have decided against no champion
        tries = 1
        while apply_verdict(store, decision, trained_as(store, key), key) is None:
            decision = decided(store, key, accuracies[key])
            tries += 1
        return tries

    with ThreadPoolExecutor(len(accuracies)) as pool:
        tries = list(pool.map(compete, accuracies))
    assert now(store) == "train/c3"
    assert max(tries) > 1
    reached = [e.measured.accuracy for e in read_registry(store).entries if e.measured]
    assert reached == sorted(set(reached))


@in_folder
def test_a_failed_write_leaves_the_champion(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run(store, "a1", 0.7)
    before = (store.root / CHAMPION).read_bytes()

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StorageError, match="No space left"):
        run(store, "b2", 0.8)
    assert (store.root / CHAMPION).read_bytes() == before
    assert [path.name for path in (store.root / "models").iterdir()] == ["champion.json"]


def test_readers_never_see_half_a_file(store: Store) -> None:
    run(store, "a1", 0.7)
    ended = threading.Event()
    seen: set[str] = set()

    def read() -> None:
        while not ended.is_set():
            champion = read_registry(store).champion
            seen.add(champion.model if champion else "none")

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(30):
        for model in ("train/b2", "train/a1"):
            promote_by_hand(store, model, None, who="Ada", why="to and fro")
    ended.set()
    reader.join()
    assert seen <= {"train/a1", "train/b2"} and seen
    assert len(read_registry(store).entries) == 61


def test_by_hand_and_back(store: Store) -> None:
    run(store, "a1", 0.9)
    entry = promote_by_hand(store, "train/b2", None, who="Ada", why="reads short texts better")
    assert (entry.how, entry.who, entry.why) == ("hand", "Ada", "reads short texts better")
    assert now(store) == "train/b2"
    with pytest.raises(ModelError, match="champion already"):
        promote_by_hand(store, "train/b2", None, who="Ada", why="")
    back = roll_back(store, who="Ben", why="it does not")
    assert (now(store), back.how, back.measured) == (
        "train/a1",
        "rollback",
        read_registry(store).entries[0].measured,
    )
    with pytest.raises(ModelError, match="no earlier champion to roll back to"):
        roll_back(store, who="Ben", why="again")


def test_a_model_rolled_back_from_is_kept_out_until_promoted_by_hand(store: Store) -> None:
    run(store, "a1", 0.7)
    run(store, "b2", 0.8)
    rolled_back = read_registry(store).champion
    assert rolled_back is not None
    roll_back(store, who="Ben", why="wrong on refunds")
    assert read_registry(store).rolled_back() == {rolled_back.digest: "by Ben: wrong on refunds"}
    promote_by_hand(store, "train/b2", None, who="Ben", why="right after all")
    assert read_registry(store).rolled_back() == {}


@in_folder
@pytest.mark.parametrize("damage", ["gone", "changed", "no manifest"])
def test_a_model_that_is_not_whole_is_refused(store: Store, damage: str) -> None:
    run(store, "a1", 0.7)
    run(store, "b2", 0.8)
    folder = store.root / "train" / "a1"
    path = folder / (MANIFEST if damage == "no manifest" else "model.safetensors")
    if damage == "changed":
        path.write_text("??")
    else:
        path.unlink()
    with pytest.raises(ModelError):
        roll_back(store, who="Ben", why="")
    with pytest.raises(ModelError):
        promote_by_hand(store, "train/a1", None, who="Ben", why="")
    assert now(store) == "train/b2"


@pytest.mark.parametrize(
    "content", ["", "[]", "[" * 100_000, "{}", '{"format": 2}', '{"format": 1}']
)
def test_a_damaged_file_is_named(store: Store, content: str) -> None:
    run(store, "a1", 0.7)
    store.put(CHAMPION, content)
    for read in (lambda: read_registry(store), lambda: bundle_at(None, store.place())):
        with pytest.raises(StorageError, match=r"champion\.json: cannot be read"):
            read()


@in_folder
def test_a_bundle_in_the_champion_s_place_is_refused(store: Store) -> None:
    run(store, "a1", 0.7)
    shutil.rmtree(store.root / "train" / "a1")
    shutil.copytree(store.root / "train" / "b2", store.root / "train" / "a1")
    with pytest.raises(ModelError, match="the champion's bundle is not the one promoted"):
        model_in_use(store.root)


def test_a_file_that_begins_with_a_rollback_is_damaged(store: Store) -> None:
    run(store, "a1", 0.7)
    run(store, "b2", 0.8)
    roll_back(store, who="Ben", why="")
    content = content_of(store)
    for kept in (0, 1):
        changed = {**content, "earlier": content["earlier"][:kept]}
        store.put(CHAMPION, json.dumps(changed))
        with pytest.raises(StorageError, match=r"cannot be read \(it begins with a rollback\)"):
            read_registry(store)


def test_a_file_holds_the_champion_and_those_before_it(store: Store) -> None:
    run(store, "a1", 0.7)
    run(store, "b2", 0.8)
    content = content_of(store)
    assert content["champion"]["model"] == "train/b2"
    assert [entry["model"] for entry in content["earlier"]] == ["train/a1"]


def entries_of(changes: list[str | None]) -> Registry:
    """Play changes, None for a rollback where one is possible, the plain way."""
    entries: list[Entry] = []
    stack: list[str] = []
    for name in changes:
        if name is None and len(stack) < 2:
            continue
        if name is None:
            stack.pop()
        else:
            stack.append(name)
        entries.append(
            Entry(
                model=f"train/{stack[-1]}",
                digest=stack[-1],
                how="rollback" if name is None else "hand",
                who="",
                why="",
                when="",
                measured=None,
            )
        )
    registry = Registry(tuple(entries))
    assert [entry.digest for entry in registry.line()] == stack
    return registry


@given(st.lists(st.sampled_from(["a", "b", "c", None]), max_size=12))
def test_rollbacks_take_the_last_change_off(changes: list[str | None]) -> None:
    registry = entries_of(changes)
    if registry.champion is not None:
        assert registry.line()[-1] == registry.champion
        assert registry.champion.digest not in registry.rolled_back() or changes[-1] is None


def test_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise OSError("No username set in the environment")

    monkeypatch.setattr("getpass.getuser", nameless)
    assert user().isdecimal()


def test_each_name_has_a_champion_and_a_history_of_its_own(store: Store) -> None:
    run(store, "a1", 0.7)
    before = content_of(store)
    for model in ("train/b2", "train/c3"):
        promote_by_hand(store, model, None, who="Ada", why="of shoes", name="shoes")
    assert content_of(store) == before
    assert now(store) == "train/a1"
    assert [registry.name for registry in read_registries(store)] == ["champion", "shoes"]
    assert bundle_at(Path("shoes"), store.place()) == store.root / "train" / "c3"
    assert roll_back(store, who="Ada", why="", name="shoes").model == "train/b2"
    with pytest.raises(ModelError, match="no earlier champion of shoes to roll back to"):
        roll_back(store, who="Ada", why="", name="shoes")
    registry = read_registry(store, "shoes")
    assert (registry.name, len(registry.entries)) == ("shoes", 3)
    marks = {m.model: (m.champion, m.champions, m.was) for m in list_models(store)}
    assert marks == {
        "train/a1": (True, ("champion",), True),
        "train/b2": (False, ("shoes",), True),
        "train/c3": (False, (), True),
    }


def test_a_verdict_counts_for_the_name_that_it_is_about(store: Store) -> None:
    first = decided(store, "a1", 0.7)
    for name in ("books", "shoes"):
        assert not is_settled(store, first, name)
        verdict = apply_verdict(store, first, trained_as(store, "a1"), "r", name)
        assert verdict is not None and verdict.outcome == "promoted"
        assert is_settled(store, first, name)
    assert not is_settled(store, first)
    assert read_registry(store) == Registry()


@pytest.mark.parametrize("name", ["", "../shoes", "Shoes", "7", "a b", "a.json", "shoes\n"])
def test_a_name_is_a_plain_word(store: Store, name: str) -> None:
    with pytest.raises(ModelError, match="cannot name a champion"):
        promote_by_hand(store, "train/a1", None, who="Ada", why="", name=name)
    with pytest.raises(ValidationError):
        PromoteConfig(champion=name)


@in_folder
def test_a_model_is_named_by_its_path_first_then_as_a_champion(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelError, match="no model here yet"):
        model_folder(None, store.root)
    promote_by_hand(store, "train/b2", None, who="Ada", why="", name="shoes")
    shoes = store.root / "train" / "b2"
    assert model_folder(Path("shoes"), store.root) == shoes
    with pytest.raises(ModelError, match="books: not a model bundle, a champion's name or a key"):
        model_folder(Path("books"), store.root)
    with pytest.raises(ModelError, match=r"no champion 'champion' here, but shoes"):
        model_folder(None, store.root)
    run(store, "a1", 0.7)
    assert model_folder(None, store.root) == store.root / "train" / "a1"
    assert model_folder(Path("champion"), store.root) == store.root / "train" / "a1"
    (store.root / "shoes").mkdir()
    monkeypatch.chdir(store.root)
    assert model_folder(Path("shoes"), store.root) == Path("shoes")
