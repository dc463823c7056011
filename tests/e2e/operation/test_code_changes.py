"""What runs again after an edit of the code, on a copy of the project."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.reviews import write_small_data
from tests.support.runs import TINY, ran
from tests.support.servers import ROOT, TIMEOUT, command, end, result_of, run_sentiment

SETTINGS = [option for setting in TINY for option in ("--set", setting)]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, server: dict[str, str]) -> Path:
    """A folder with a copy of the code, small data and the storage of a first run."""
    folder = tmp_path_factory.mktemp("first")
    for package in ("sentiment", "tasks", "flows", "presets"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, folder / "code" / package, ignore=ignored)
    write_small_data(folder / "data")
    run_copy(folder, server)
    return folder


def run_copy(folder: Path, server: dict[str, str], name: str = "run") -> dict[str, Any]:
    return result_of(
        run_sentiment(
            name, *SETTINGS, "--data", str(folder / "data"), "--json",
            code=folder / "code", SENTIMENT_STORAGE=str(folder / "storage"), **server,
        )
    )  # fmt: skip


@pytest.fixture
def project(first: Path, tmp_path: Path) -> Path:
    shutil.copytree(first, tmp_path / "project", symlinks=True)
    return tmp_path / "project"


def edit(project: Path, module: str, change: Callable[[str], str]) -> None:
    path = project / "code" / module
    before = path.read_text()
    after = change(before)
    assert after != before
    path.write_text(after)


def planned(project: Path, server: dict[str, str]) -> dict[str, tuple[str, str]]:
    plan = run_copy(project, server, "plan")
    return {stage["stage"]: (stage["state"], stage["reason"]) for stage in plan["stages"]}


def test_comments_docstrings_descriptions_layout_and_new_functions_rerun_nothing(
    project: Path, server: dict[str, str]
) -> None:
    for path in (project / "code" / "sentiment").rglob("*.py"):
        name = path.relative_to(project / "code")
        edit(
            project,
            str(name),
            lambda text: f"# A comment.\n{text}\n\n\ndef unrelated():\n    return 1\n",
        )
    edit(
        project,
        "sentiment/text/cleaning.py",
        lambda t: t.replace(':\n    """', ':\n    """In other words: '),
    )
    edit(
        project,
        "sentiment/text/cleaning.py",
        lambda t: t.replace('description="', 'description="In other words: ', 1),
    )
    edit(
        project,
        "sentiment/model/config.py",
        lambda t: t.replace('description="', 'description="In other words: '),
    )
    edit(
        project,
        "sentiment/text/cleaning.py",
        lambda t: t.replace(
            "text = text.lower()", "text = (\n            text.lower()  # lower\n        )"
        ),
    )
    assert {state for state, _ in planned(project, server).values()} == {"cached"}
    assert ran(run_copy(project, server)) == []


def test_a_helper_of_tokenize_that_changes_the_tokens(
    project: Path, server: dict[str, str]
) -> None:
    edit(
        project,
        "sentiment/text/cleaning.py",
        lambda t: t.replace('b"000000000"', 'b"999999999"'),
    )
    plan = planned(project, server)
    assert plan["ingest"][0] == "cached"
    assert plan["tokenize"] == ("run", "code changed in sentiment/text/cleaning.py")
    assert plan["vocabulary"] == ("maybe", "if the output of tokenize changes")
    assert ran(run_copy(project, server)) == [
        "tokenize",
        "vocabulary",
        "tensors",
        "train",
        "evaluate",
        "baseline",
        "promote",
        "report",
    ]


def test_a_helper_of_tokenize_that_changes_nothing(project: Path, server: dict[str, str]) -> None:
    edit(
        project,
        "sentiment/text/cleaning.py",
        lambda t: t.replace('_DIGIT.sub("0", text)', '_DIGIT.sub("0", str(text))'),
    )
    assert ran(run_copy(project, server)) == ["tokenize"]


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("sentiment/reports/sections.py", '"Average precision"', '"Mean precision"'),
        ("sentiment/reports/templates/report.html.j2", "</footer>", "<p>Seen.</p></footer>"),
        ("sentiment/reports/templates/page.html.j2", "</body>", "<p>Seen.</p></body>"),
    ],
)
def test_the_wording_of_the_report(
    project: Path, server: dict[str, str], module: str, old: str, new: str
) -> None:
    edit(project, module, lambda text: text.replace(old, new, 1))
    assert ran(run_copy(project, server)) == ["report"]


def test_the_wiring_of_flows_and_tasks_reruns_nothing(
    project: Path, server: dict[str, str]
) -> None:
    edit(project, "flows/ui/run_summary.py", lambda t: t.replace('"reviews"', '"all reviews"'))
    edit(project, "tasks/store/store.py", lambda t: t + "\n\ndef more() -> int:\n    return 2\n")
    assert ran(run_copy(project, server)) == []


@pytest.mark.parametrize(("runner", "seen"), [("threads", "ingest"), ("processes", "tokenize")])
def test_an_edit_while_a_run_is_active_is_never_stored_under_the_wrong_key(
    project: Path, server: dict[str, str], runner: str, seen: str
) -> None:
    """The run stops before the edited stage, and the next one computes it with the new code."""
    shutil.rmtree(project / "storage")
    cleaning = project / "code/sentiment/text/cleaning.py"
    before = cleaning.read_text()
    options = [*SETTINGS, "--set", f"run.runner={runner}", "--data", str(project / "data")]
    process = subprocess.Popen(
        command("run", *options, code=project / "code"),
        stderr=subprocess.PIPE, text=True, cwd=project / "code", start_new_session=True,
        env={**os.environ, **server, "SENTIMENT_STORAGE": str(project / "storage")},
    )  # fmt: skip
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if line.startswith(f"{seen} ") and "to run" in line:
                cleaning.write_text(before.replace("text.lower()", "text.upper()"))
                break
        _, told = process.communicate(timeout=TIMEOUT)
    finally:
        end(process)
    assert process.returncode == 1, told
    assert "changed since this run started" in " ".join(told.split())
    assert not list((project / "storage/tokenize").glob("*/manifest.json"))
    assert "tokenize" in ran(run_copy(project, server))
    cleaning.write_text(before)
    assert planned(project, server)["tokenize"][0] == "run"
