"""The code on docs/using-a-model.md works."""

import asyncio
import re
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from sentiment import Classifier
from sentiment.model.export import export_onnx
from tests.support.bundles import Trained

PAGE = (Path(__file__).parents[2] / "docs" / "using-a-model.md").read_text(encoding="utf-8")
FIRST, SERVICE, PANDAS, ONNX = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def model(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Classifier:
    shutil.copytree(trained.bundle, tmp_path / "models" / "latest")
    monkeypatch.setenv("SENTIMENT_STORAGE", str(tmp_path))
    return Classifier.load()


def run(code: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(code, names)
    return names


def test_the_first_lines(model: Classifier) -> None:
    assert isinstance(run(FIRST)["classifier"], Classifier)


def test_the_service_answers(model: Classifier) -> None:
    texts = ["A lovely lamp", "A dreadful lamp"]

    async def ask(app: Any) -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return [await client.post("/predict", json=body) for body in (texts, texts[0])]

    answer, refused = asyncio.run(ask(run(SERVICE)["app"]))
    assert answer.json() == pytest.approx(model.probabilities(texts).tolist())
    assert refused.status_code == 422
    assert len(SERVICE.replace("\n\n", "\n").splitlines()) <= 10


def test_the_pandas_cell(model: Classifier) -> None:
    reviews = run(PANDAS)["reviews"]
    texts = ["could not be better", "it broke"]
    assert reviews["probability"].tolist() == pytest.approx(model.probabilities(texts).tolist())
    assert reviews["label"].tolist() == model.predict(texts)


def test_the_onnx_cell(
    model: Classifier, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_onnx(trained.bundle, tmp_path / "model.onnx")
    monkeypatch.chdir(tmp_path)
    probability = run(ONNX)["probability"]
    assert probability.tolist() == pytest.approx(
        model.probabilities(["could not be better"]).tolist(), abs=1e-4
    )
