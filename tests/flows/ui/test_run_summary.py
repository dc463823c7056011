"""The table after a run."""

from typing import Any

import pytest

from flows.ui.run_summary import result_table


def result(advice: str | None) -> dict[str, Any]:
    """Return the outcome of a run whose linear baseline has this advice."""
    figures = {"accuracy": 0.9, "accuracy_interval": [0.8, 0.95], "mcc": 0.8}
    comparison = [
        {"name": "model", **figures},
        {"name": "baseline", **figures, "advice": advice},
        {"name": "majority", "label": "positive", **figures, "accuracy_interval": None},
    ]
    return {
        **figures,
        "loss": 0.2,
        "rows": 10,
        "rejected_by_reason": {},
        "rejected": 0,
        "vocabulary_size": None,
        "comparison": comparison,
        "promotion": None,
        "warning": None,
        "model": None,
        "report": None,
        "stages": [],
    }


@pytest.mark.parametrize("advice", ["A linear model is as good here.", None])
def test_the_advice_follows_the_baseline(advice: str | None) -> None:
    names, texts = result_table(result(advice), generated=False).columns  # type: ignore[arg-type]
    rows = list(zip(map(str, names.cells), map(str, texts.cells), strict=True))
    place = [name for name, _ in rows].index("linear baseline")
    assert (("advice", advice) in rows) == (advice is not None)
    if advice is not None:
        assert rows[place + 1] == ("advice", advice)
