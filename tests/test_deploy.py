"""The systemd units: what systemd makes of them, and the variables that they use."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[1] / "deploy"
UNITS = sorted(path for path in DEPLOY.iterdir() if path.suffix in (".service", ".timer"))
BY_SYSTEMD = {"CACHE_DIRECTORY"}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_is_one_for_systemd(unit: Path, tmp_path: Path) -> None:
    """With programs that exist: systemd looks for them."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    for path in UNITS:
        text = re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={shutil.which('true')}", path.read_text())
        (tmp_path / path.name).write_text(text)
    name = unit.name.replace("@.", "@cpu.")
    if name != unit.name:
        (tmp_path / unit.name).rename(tmp_path / name)
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / name)]
    done = subprocess.run(command, capture_output=True, text=True)
    told = [line for line in done.stderr.splitlines() if str(tmp_path) in line]
    assert (done.returncode, told) == (0, [])


def test_the_example_of_the_environment_has_each_variable_of_the_units() -> None:
    example = (DEPLOY / "review-sentiment.env.example").read_text(encoding="utf-8")
    names = set(re.findall(r"(?m)^#?([A-Z_]+)=", example))
    for unit in UNITS:
        text = unit.read_text(encoding="utf-8")
        used = set(re.findall(r"\$\{?([A-Z_]+)", text))
        own = set(re.findall(r"(?m)^Environment=([A-Z_]+)=", text))
        assert used <= names | own | BY_SYSTEMD, unit.name
