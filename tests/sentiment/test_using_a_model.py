"""The code on docs/using-a-model.md works."""

import asyncio
import json
import re
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from sentiment import Classifier
from sentiment.model.bundle_files import bundle_digest
from sentiment.model.export import export_onnx
from sentiment.model.registry import CHAMPION, CHAMPION_FORMAT
from tests.support.bundles import Trained, write_random_bundle

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


def ask(app: Any, *requests: tuple[str, str, Any]) -> list[httpx.Response]:
    async def send() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return [await client.request(how, path, json=body) for how, path, body in requests]

    return asyncio.run(send())


def test_the_service_answers(model: Classifier) -> None:
    texts = ["A lovely lamp", "A dreadful lamp"]
    app = run(SERVICE)["app"]
    answer, refused, health = ask(
        app, ("POST", "/predict", texts), ("POST", "/predict", texts[0]), ("GET", "/health", None)
    )
    assert answer.json() == pytest.approx(model.probabilities(texts).tolist())
    assert refused.status_code == 422
    assert (health.status_code, health.json()) == (200, {"model": "latest"})
    assert len(SERVICE.replace("\n\n", "\n").splitlines()) <= 20


def test_the_service_uses_a_new_champion(model: Classifier, tmp_path: Path) -> None:
    texts = ["A lovely lamp", "A dreadful lamp"]
    app = run(SERVICE)["app"]
    (before,) = ask(app, ("POST", "/predict", texts))
    bundle = tmp_path / "train" / "b70cf32e"
    bundle.mkdir(parents=True)
    write_random_bundle(bundle)
    champion = {"model": "train/b70cf32e", "digest": bundle_digest(bundle)}
    champions = {"format": CHAMPION_FORMAT, "champion": champion, "earlier": []}
    (tmp_path / CHAMPION).write_text(json.dumps(champions))
    after, health = ask(app, ("POST", "/predict", texts), ("GET", "/health", None))
    assert health.json() == {"model": "b70cf32e"}
    assert after.json() == pytest.approx(Classifier.load().probabilities(texts).tolist())
    assert after.json() != pytest.approx(before.json())


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
