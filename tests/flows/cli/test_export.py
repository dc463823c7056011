"""``sentiment export`` on a bundle of random weights."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.main import app
from sentiment.errors import StorageError
from tests.support.bundles import write_random_bundle


def test_the_files_written_are_named(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    given = ["export", str(tmp_path / "out" / "small.onnx"), "--model"]
    result = CliRunner().invoke(app, [*given, str(write_random_bundle(bundle))])
    assert result.exit_code == 0, result.output
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"small.onnx", "small.config.json", "small.vocabulary.parquet"}
    assert all(name in result.stdout for name in names)


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"m\.pt: the format is ONNX.*m\.onnx"):
        CliRunner().invoke(
            app, ["export", str(tmp_path / "m.pt"), "--model", "x/y"], catch_exceptions=False
        )
    assert list(tmp_path.iterdir()) == []
