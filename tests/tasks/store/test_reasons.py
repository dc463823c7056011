"""Reasons in words."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks.manifest import Artifact, Manifest
from tasks.stage import Request, Stage
from tasks.store import Lookup
from tasks.store.reasons import differences, explain, summarise

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
    assert differences(old, request_now) == ["config tokenize.urls article -> whole"]
    nested = replace(before, config={"tokenize": {"urls": "whole", "deep": {"n": None}}})
    assert differences(nested, request_now) == ["config tokenize.deep.n (none) -> 2"]


def test_of_a_digest_its_start_is_shown(request_now: Request, before: Manifest) -> None:
    config = {"tokenize": {**request_now.ingredients["config"]["tokenize"], "urls": "ab" * 32}}
    (reason,) = differences(replace(before, config=config), request_now)
    assert reason == "config tokenize.urls abababababab... -> whole"


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
    assert summarise([["a", "b"], ["a", "c"]], 2) == "a; b; c"
    assert summarise([[str(n) for n in range(9)]], 1) == "0; 1; 2; 3 and 5 more"
