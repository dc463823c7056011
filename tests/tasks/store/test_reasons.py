"""Reasons in words."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks.manifest import Artifact, Manifest
from tasks.stage import Request, Stage
from tasks.store import Lookup
from tasks.store.reasons import closest, differences, explain, summarise
from tasks.store.run_records import Earlier

STAGE = Stage("tokenize", "sentiment.text.tokenize:tokenize_shard", reads=("ingest",))
SHARD = Artifact("train-00000.parquet", "ingest/abc/train-00000.parquet", "1" * 64, 5, 0)


@pytest.fixture
def request_now() -> Request:
    return Request(
        STAGE, "a", {"reviews": SHARD}, {"tokenize": {"urls": "whole", "deep": {"n": 2}}}
    )


@pytest.fixture
def before(request_now: Request) -> Manifest:
    return Manifest(
        stage="tokenize",
        label="a",
        key="0" * 16,
        **request_now.ingredients,
        outputs=(),
        stats={},
        seconds=1.0,
        created="2026-01-01T00:00:00+00:00",
    )


def test_the_first_run(request_now: Request) -> None:
    assert explain(request_now, Lookup(None), None) == ["first run"]


def test_damage_comes_first(request_now: Request, before: Manifest) -> None:
    assert explain(request_now, Lookup(None, "x is missing"), before) == ["x is missing"]


def test_a_removed_result(request_now: Request, before: Manifest) -> None:
    (reason,) = explain(request_now, Lookup(None), before)
    assert "no longer in the storage folder" in reason


def test_a_setting_is_named_with_both_values(request_now: Request, before: Manifest) -> None:
    old = replace(before, config={"tokenize": {"urls": "article", "deep": {"n": 2}}})
    assert differences(old, request_now) == ["setting tokenize.urls article -> whole"]
    nested = replace(before, config={"tokenize": {"urls": "whole", "deep": {"n": None}}})
    assert differences(nested, request_now) == ["setting tokenize.deep.n (none) -> 2"]


def test_of_a_digest_its_start_is_shown(request_now: Request, before: Manifest) -> None:
    config = {"tokenize": {**request_now.ingredients["config"]["tokenize"], "urls": "ab" * 32}}
    (reason,) = differences(replace(before, config=config), request_now)
    assert reason == "setting tokenize.urls abababababab... -> whole"


def test_a_list_or_a_long_value_is_not_shown(request_now: Request, before: Manifest) -> None:
    for value in ([{"name": "train", "rows": 8_000, "tokens": 500_000}], "word " * 20):
        config = {"tokenize": {**before.config["tokenize"], "urls": value}}
        assert differences(replace(before, config=config), request_now) == [
            "setting tokenize.urls changed"
        ]


def test_what_no_preset_holds_is_put_into_words(request_now: Request, before: Manifest) -> None:
    settings = {**request_now.settings, "candidate": {"digest": "ab" * 32, "tests": 1}, "limit": 5}
    words = {
        "candidate": "the reviews changed",
        "candidate.digest": "the model changed",
        "limit": "setting tokenize.limit {was} -> {now}",
    }
    now = replace(request_now, settings=settings, words=words)
    assert now.key == replace(now, words={}).key
    old = {**before.config, "candidate": {"digest": "cd" * 32, "tests": 2}, "limit": None}
    assert differences(replace(before, config=old), now) == [
        "the model changed",
        "the reviews changed",
        "setting tokenize.limit (none) -> 5",
    ]
    assert differences(replace(before, config=old), replace(now, words={})) == [
        "candidate changed",
        "limit changed",
    ]


def test_reasons_compare_with_the_closest_of_the_same_preset(
    request_now: Request, before: Manifest
) -> None:
    def earlier(strange: int, **changes: Any) -> Earlier:
        config = {"tokenize": {**before.config["tokenize"], **changes}}
        return Earlier({"a": replace(before, config=config)}, strange)

    far, near, newest = earlier(0, urls="x", deep=None), earlier(0, urls="x"), earlier(0, urls="y")
    stranger = earlier(1, urls="z")
    other = Earlier({"b": before}, 0)
    assert closest([request_now], [far, near]) is near.manifests
    assert closest([request_now], [newest, near]) is newest.manifests
    assert closest([request_now], [stranger, far]) is far.manifests
    assert closest([request_now], [other, far]) is far.manifests
    assert closest([request_now], []) == {}


def test_changed_code_names_the_file(request_now: Request, before: Manifest) -> None:
    name = next(name for name in before.code if name.startswith("sentiment/text/cleaning.py"))
    old = replace(before, code={**before.code, name: "other", "sentiment/gone.py:f": "1"})
    assert differences(old, request_now) == [
        "code changed in sentiment/gone.py, sentiment/text/cleaning.py"
    ]


def test_a_library_is_named_with_both_versions(request_now: Request, before: Manifest) -> None:
    old = replace(before, libraries={"nltk": "3.9.1"})
    assert differences(old, request_now) == ["nltk 3.9.1 -> (none)"]


def _with_input(request: Request, **changes: Any) -> Request:
    return replace(request, inputs={"reviews": replace(SHARD, **changes)})


def test_a_changed_output_names_its_stage(request_now: Request, before: Manifest) -> None:
    changed = _with_input(request_now, sha256="2" * 64)
    assert differences(before, changed) == ["ingest's output changed"]


def test_a_changed_input_file_is_named(request_now: Request, before: Manifest) -> None:
    path = str(Path("/data/train.txt"))
    changed = _with_input(request_now, sha256="2" * 64, path=path, name="train.txt")
    assert differences(before, changed) == ["input train.txt changed"]


def test_reasons_of_shards_are_joined() -> None:
    assert summarise([["first run"]], 1) == "first run"
    assert summarise([["first run"], ["first run"]], 5) == "2 of 5 shards: first run"
    assert summarise([["first run"]], 3, "files") == "1 of 3 files: first run"
    assert summarise([["a", "b"], ["a", "c"]], 2) == "a; b; c"
    assert summarise([[str(n) for n in range(9)]], 1) == "0; 1; 2; 3 and 5 more"
