"""The tests of the object storage, on a server that people use."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.servers import ROOT

TESTS = ("tests/tasks/store/test_objects.py", "tests/tasks/store/test_remote.py")
OTHERWISE = "tests/tasks/store/test_objects.py::test_a_bucket_that_is_not_there"  # it makes one


def test_the_storage_s_tests_pass_on_seaweedfs(tmp_path: Path) -> None:
    options = ("-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'tests'}")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *TESTS, "--deselect", OTHERWISE],
        cwd=ROOT,
        env={**os.environ, "S3_SERVER": "seaweedfs"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout
