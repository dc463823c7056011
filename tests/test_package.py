"""What an installed copy holds beside its modules."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
BUILD = "from setuptools.build_meta import build_wheel; print(build_wheel('wheel'))"


def test_a_wheel_holds_the_type_marker_the_presets_the_templates_and_the_deployments(
    tmp_path: Path,
) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "prefect.yaml"):
        shutil.copyfile(ROOT / name, copy / name)
    for package in ("sentiment", "tasks", "flows", "presets"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, copy / package, symlinks=True, ignore=ignored)
    built = subprocess.run(
        [sys.executable, "-c", BUILD], cwd=copy, capture_output=True, text=True, check=True
    )
    with zipfile.ZipFile(copy / "wheel" / built.stdout.split()[-1]) as wheel:
        names = set(wheel.namelist())
        deployments = yaml.safe_load(wheel.read("flows/prefect.yaml"))["deployments"]
    shipped = {
        str(path.relative_to(ROOT))
        for package in ("sentiment", "tasks", "flows", "presets")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert shipped <= names
    assert "sentiment/py.typed" in names
    # Every deployment's code is in the wheel, under the name that its entrypoint gives.
    assert {entry["entrypoint"].partition(":")[0] for entry in deployments} <= names
