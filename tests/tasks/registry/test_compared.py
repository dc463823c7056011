"""Comparing models of a storage: found by any name, on the same reviews or not."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sentiment.errors import ModelError, StorageError
from sentiment.model.registry import LATEST
from tasks.manifest import Manifest
from tasks.registry.champion import promote_by_hand
from tasks.registry.compared import compare_models
from tasks.registry.sides import find_side
from tasks.run.spec import RunSpec
from tasks.store import Store
from tasks.store.run_records import RunRecord
from tests.support.runs import run_plainly

MakeSpec = Callable[..., RunSpec]
RUNS = ("20260101T000000.000001-1", "20260102T000000.000002-2")


def recorded(spec: RunSpec, run_id: str) -> dict[str, list[Manifest]]:
    """Run the stages up to evaluate, and leave the record that a run leaves."""
    record = RunRecord(spec.store, run_id, **spec.about)
    done = run_plainly(spec, "evaluate")
    for stage, manifests in done.items():
        record.stage(stage, {manifest.label: manifest.key for manifest in manifests})
    record.finish("completed")
    return done


def test_two_models_on_the_same_reviews(make_spec: MakeSpec, data: Path, place: str) -> None:
    one = recorded(make_spec(data, storage=place), RUNS[0])
    changes = ("vocabulary.min_count=3", "train.seed=7", "evaluate.threshold=0.999")
    two = recorded(make_spec(data, *changes, storage=place), RUNS[1])
    compared = compare_models(Store.at(place), one["train"][0].key[:8], RUNS[1], 3)
    assert compared.settings == {
        "evaluate.threshold": (None, 0.999),  # none of its answers is positive
        "train.seed": (one["train"][0].config["train"]["seed"], 7),
        "vocabulary.min_count": (one["vocabulary"][0].config["vocabulary"]["min_count"], 3),
    }
    assert compared.unknown == {} and compared.why_not is None
    assert compared.about[1]["model"] == two["train"][0].key
    for done, found in zip((one, two), compared.figures, strict=True):
        stats = done["evaluate"][0].stats
        assert found["accuracy"].value == stats["accuracy"]
        assert found["mcc"].value == pytest.approx(stats["mcc"])
    test = compared.test
    assert test is not None
    apart = two["evaluate"][0].stats["accuracy"] - one["evaluate"][0].stats["accuracy"]
    assert test["difference"] == pytest.approx(apart)
    assert len(compared.only_a) == min(3, test["lost"])
    assert len(compared.only_b) == min(3, test["gained"])
    assert compared.only_a
    store = Store.at(place)
    labels = {
        text: label
        for manifest in one["ingest"]
        for artifact in manifest.outputs
        if artifact.name.startswith("test-")
        for text, label in zip(
            *(pq.read_table(store.file(artifact))[name].to_pylist() for name in ("text", "label")),
            strict=True,
        )
    }
    for each in (*compared.only_a, *compared.only_b):
        assert each.text is not None and labels[each.text] == each.label


def test_other_test_reviews_leave_figures_and_settings(make_spec: MakeSpec, data: Path) -> None:
    one = recorded(make_spec(data), RUNS[0])
    recorded(make_spec(data, "ingest.test_limit=10"), RUNS[1])
    compared = compare_models(make_spec(data).store, RUNS[0], RUNS[1], 3)
    assert compared.why_not is not None and "different test reviews" in compared.why_not
    assert compared.settings["ingest.test_limit"] == (None, 10)
    assert compared.figures[0] and compared.figures[1]
    assert compared.test is None and not compared.difference and not compared.only_a
    assert compared.rows[0] != compared.rows[1]
    assert one["train"][0].key == compared.about[0]["model"]


def test_a_bundle_from_elsewhere_has_settings_alone(
    make_spec: MakeSpec, data: Path, tmp_path: Path
) -> None:
    spec = make_spec(data)
    trained = recorded(spec, RUNS[0])["train"][0]
    copied = shutil.copytree(spec.store.root / "train" / trained.key, tmp_path / "mine")
    known = find_side(spec.store, str(copied))
    assert known.trained == trained and known.evaluated  # by its digest
    elsewhere = Store(tmp_path / "other")
    elsewhere.prepare()
    compared = compare_models(elsewhere, str(copied), str(copied), 3)
    assert compared.figures == ({}, {})
    assert compared.why_not is not None and "no evaluation" in compared.why_not
    assert compared.settings == {}
    both = compare_models(spec.store, trained.key, str(copied), 3)
    assert both.test is not None and both.test["gained"] == both.test["lost"] == 0


def test_a_side_is_found_by_each_of_its_names(make_spec: MakeSpec, data: Path, place: str) -> None:
    spec = make_spec(data, storage=place)
    trained = recorded(spec, RUNS[0])["train"][0]
    model = f"train/{trained.key}"
    promote_by_hand(spec.store, model, None, who="me", why="a test", name="shoes")
    spec.store.point(LATEST, model)
    names = ("shoes", "latest", trained.key[:6], model, RUNS[0], RUNS[0][:15], f"x/{RUNS[0]}/")
    for name in names:
        found = find_side(Store.at(place), name)
        assert (found.name, found.trained) == (name, trained)
        assert found.run is not None and found.run["run"] == RUNS[0]
        assert len(found.evaluated) == 1


def test_what_cannot_be_found_is_named(make_spec: MakeSpec, data: Path) -> None:
    spec = make_spec(data)
    run_plainly(spec, "evaluate")
    with pytest.raises(ModelError, match=r"'nope' matches no model.*Or name a run's id"):
        find_side(spec.store, "nope")
    with pytest.raises(ModelError, match=r"matches no run.*models list"):
        find_side(spec.store, RUNS[0])
    record = RunRecord(spec.store, RUNS[0])
    record.finish("failed")
    with pytest.raises(ModelError, match=r"\(failed\) has no model"):
        find_side(spec.store, RUNS[0])


def test_damaged_predictions_are_an_error_that_names_them(make_spec: MakeSpec, data: Path) -> None:
    spec = make_spec(data)
    done = run_plainly(spec, "evaluate")
    (evaluated,), (trained,) = done["evaluate"], done["train"]
    (spec.store.root / "evaluate" / evaluated.key / "predictions.parquet").write_bytes(b"no")
    with pytest.raises(StorageError, match=rf"evaluate/{evaluated.key}: cannot be read .*--verify"):
        compare_models(spec.store, trained.key, trained.key, 1)
