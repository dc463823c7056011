"""Which of the project's own stages an edit of ``sentiment/`` reruns, by their fingerprints."""

import importlib
import pkgutil
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import tasks
from flows.steps import STAGES
from tasks.fingerprint import fingerprint
from tasks.stage import Stage

SOURCE = Path(__file__).parents[3] / "sentiment"
MODULES = [
    importlib.import_module(f"tasks.{module.name}")
    for module in pkgutil.iter_modules(tasks.__path__)
]
FUNCTIONS = {
    stage.name: stage.function
    for module in MODULES
    for stage in vars(module).values()
    if isinstance(stage, Stage)
}


class Copy:
    """A copy of ``sentiment/``, and the stages' digests before any edit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.before = self.digests()

    def digests(self) -> dict[str, str]:
        return {name: fingerprint(function).digest for name, function in FUNCTIONS.items()}

    def reruns(self, pattern: str, new: str) -> set[str]:
        """Return the stages that rerun after the first match of a pattern is replaced."""
        texts = {path: path.read_text() for path in sorted(self.folder.rglob("*.py"))}
        (path,) = (path for path, text in texts.items() if re.search(pattern, text, re.DOTALL))
        edited = re.sub(pattern, new, texts[path], count=1, flags=re.DOTALL)
        assert edited != texts[path]
        try:
            path.write_text(edited)
            return {name for name, digest in self.digests().items() if digest != self.before[name]}
        finally:
            path.write_text(texts[path])


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copy]:
    root = tmp_path_factory.mktemp("copy")
    shutil.copytree(SOURCE, root / "sentiment", ignore=shutil.ignore_patterns("__pycache__"))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(root)
        patch.delitem(sys.modules, "sentiment")  # so that the copy is found
        yield Copy(root / "sentiment")


def test_all_stages_are_seen() -> None:
    assert FUNCTIONS.keys() == {module.STAGE.name for module in STAGES}


@pytest.mark.parametrize("stage", FUNCTIONS)
def test_every_stage_is_followed_name_by_name(stage: str) -> None:
    # A module that counts whole reruns stages in vain: see tasks/fingerprint/plain.py.
    definitions = fingerprint(FUNCTIONS[stage]).definitions
    assert not [name for name in definitions if name.endswith(":*")]


def test_of_the_templates_only_the_reports_own_count() -> None:
    found = {
        name
        for function in FUNCTIONS.values()
        for name in fingerprint(function).definitions
        if ":" not in name
    }
    names = ("page", "parts", "report")
    assert found == {f"sentiment/reports/templates/{name}.html.j2" for name in names}


@pytest.mark.parametrize(
    ("pattern", "new"),
    [
        pytest.param(
            r'( epochs: int = Field\([^)]*description=")', r"\1Reworded. ",
            id="the description of a setting",
        ),
        pytest.param(
            r'( lowercase: bool = Field\([^)]*description=")', r"\1Reworded. ",
            id="the description of a setting of the text",
        ),
        pytest.param(
            r'( mlflow: [^=]*= operational\([^)]*description=")', r"\1Reworded. ",
            id="the description of an operational setting",
        ),
        pytest.param(
            r"(keep_checkpoints: int = operational\()\d+", r"\g<1>7",
            id="the default of an operational setting",
        ),
        pytest.param(
            r"(class TrainConfig\(.*?)(\n    keep_checkpoints: )",
            r'\1\n    patience: int = operational(3, description="Epochs to wait.")\2',
            id="a new operational setting",
        ),
        pytest.param(r"(checkpoint %s cannot be) used", r"\1 read", id="a line of the log"),
        pytest.param(
            r'("MLFLOW_HTTP_REQUEST_MAX_RETRIES": )"1"', r'\1"2"',
            id="how often MLflow's server is tried",
        ),
        pytest.param(
            r"Training ran (out of )", r"The training ran \1",
            id="what is said when memory runs out",
        ),
        pytest.param(
            r"FEWEST_POINTS(.*?) = \d+", r"FEWEST_POINTS\1 = 16",
            id="how a prediction is explained",
        ),
        pytest.param(
            r"(: the champion's bundle is .*? else) 'gone'", r"\1 'lost'",
            id="what is said of a missing champion",
        ),
    ],
)  # fmt: skip
def test_what_shapes_no_byte_reruns_nothing(copy: Copy, pattern: str, new: str) -> None:
    assert copy.reruns(pattern, new) == set()


@pytest.mark.parametrize(
    ("pattern", "new", "stages"),
    [
        (r"( epochs: int = Field\()\d+", r"\g<1>9", {"train", "evaluate", "champion"}),
        (r"( lowercase: bool = Field\()True", r"\1False",
         {"tokenize", "train", "evaluate", "champion"}),
        (r"( batch_size: int = Field\(\d+, ge=)1", r"\g<1>2", {"train", "evaluate", "champion"}),
        (r"( batch_size: int = )Field\(64,", r"\1operational(64,",
         {"train", "evaluate", "champion"}),
        (r"(if config\.lowercase:\s+text = text)\.lower", r"\1.upper", {"tokenize", "champion"}),
    ],
)  # fmt: skip
def test_what_may_shape_a_byte_reruns_its_stages(
    copy: Copy, pattern: str, new: str, stages: set[str]
) -> None:
    assert copy.reruns(pattern, new) == stages
