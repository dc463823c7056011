"""Training requests as files."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from flows.run.request_file import read_request, write_request
from sentiment.errors import StageError
from tasks import train
from tasks.manifest import Artifact
from tasks.run.portable import check_shared
from tasks.run.spec import RunSpec
from tasks.store import Store
from tests.support.runs import run_plainly

Make = Callable[..., RunSpec]


@pytest.fixture
def spec(make_spec: Make, data: Path) -> RunSpec:
    return make_spec(data)


@pytest.fixture
def file(spec: RunSpec) -> Path:
    """The file of a training request, the stages before it done."""
    (request,) = train.requests(spec, run_plainly(spec, until="tensors"))
    write_request(request, request.file(spec.store.root))
    return request.file(spec.store.root)


def test_a_request_is_read_as_it_was_written(spec: RunSpec, file: Path) -> None:
    (request,) = train.requests(spec, run_plainly(spec, until="tensors"))
    found = read_request(file)
    assert found.key == request.key
    assert found.arguments(file.parent) == request.arguments(file.parent)


def test_other_code_or_settings_are_refused(file: Path) -> None:
    content = json.loads(file.read_bytes())
    content["settings"]["train"]["seed"] += 1
    file.write_text(json.dumps(content))
    with pytest.raises(StageError, match="same commit"):
        read_request(file)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"key": 1, "settings": 2}'])
def test_what_is_no_request_is_an_error_that_names_the_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / "request.json"
    path.write_text(content)
    with pytest.raises(StageError, match=r"request\.json: not a training job"):
        read_request(path)
    with pytest.raises(StageError, match=r"none\.json: cannot be read \(No such file"):
        read_request(tmp_path / "none.json")


def test_without_the_files_it_says_that_storage_must_be_shared(
    spec: RunSpec, file: Path, tmp_path: Path
) -> None:
    request = read_request(file)
    check_shared(request, spec.store)
    with pytest.raises(StageError, match="Share the storage folder with it"):
        check_shared(request, Store(tmp_path / "elsewhere"))


def test_an_input_that_is_not_in_the_storage_has_to_be_copied(
    spec: RunSpec, file: Path, tmp_path: Path
) -> None:
    """Such as a file of word vectors: remote storage does not bring it."""
    vectors = Artifact("vectors.txt", str(tmp_path / "vectors.txt"), "0" * 64, 1, 0)
    request = read_request(file)
    asked = replace(request, inputs={**request.inputs, "vectors": (vectors,)})
    with pytest.raises(StageError, match=r"vectors\.txt is not on this machine\. Copy it there"):
        check_shared(asked, spec.store)
