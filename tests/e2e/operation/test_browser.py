"""The pages that a person looks at, as a browser shows them."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.runs import TINY
from tests.support.servers import result_of, run_sentiment
from tools.screenshots import chromium, text_of

pytestmark = pytest.mark.skipif(chromium() is None, reason="no Chromium here")


@pytest.fixture(scope="module")
def result(server: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    storage = tmp_path_factory.mktemp("storage")
    settings = [option for setting in TINY for option in ("--set", setting)]
    return result_of(run_sentiment("run", "--json", "--storage", str(storage), *settings, **server))


def test_the_runs_page_names_run_stages_and_artifacts(
    server: dict[str, str], result: dict[str, Any]
) -> None:
    api = server["PREFECT_API_URL"]
    (run,) = (
        run
        for run in httpx.post(f"{api}/flow_runs/filter", json={}, timeout=60).json()
        if run["parameters"]["storage"] in result["report"]
    )
    page = text_of(f"{api.removesuffix('/api')}/runs/flow-run/{run['id']}")
    assert run["name"] in page
    assert run["name"].startswith("sample-")
    for shown in ("Completed", "Artifacts", "Task Runs"):
        assert shown in page


def test_the_report_opens_as_a_page(result: dict[str, Any]) -> None:
    page = text_of(Path(result["report"]).as_uri())
    assert "Review sentiment: preset sample" in page
    assert "Accuracy" in page
    assert "<svg" in page
