"""``sentiment export`` on a bundle of random weights."""

from pathlib import Path

from typer.testing import CliRunner

from flows.cli.main import app
from tests.support.bundles import write_random_bundle


def test_the_files_written_are_named(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    given = ["export", "--format", "onnx", str(tmp_path / "out" / "small.onnx"), "--model"]
    result = CliRunner().invoke(app, [*given, str(write_random_bundle(bundle))])
    assert result.exit_code == 0, result.output
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"small.onnx", "small.config.json", "small.vocabulary.parquet"}
    assert all(name in result.stdout for name in names)
