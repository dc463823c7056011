"""Each benchmark starts as the command that benchmarks/README.md names."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
COMMANDS = sorted(path.name for path in (ROOT / "benchmarks").glob("[!_]*.py"))


def test_the_readme_names_them_all() -> None:
    named = re.findall(
        r"^\| `python benchmarks/(\w+\.py)", (ROOT / "benchmarks/README.md").read_text(), re.M
    )
    assert sorted(named) == COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_starts_from_any_folder(name: str, tmp_path: Path) -> None:
    """The package benchmarks is not installed: a command finds it by its own path."""
    if name == "export.py":
        pytest.importorskip("onnxruntime")
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, ROOT / "benchmarks" / name, "--help"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--json FILE" in done.stdout
