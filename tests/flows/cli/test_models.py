"""``sentiment models list``: what it says of each model."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from flows.cli.models import lines_of
from tasks.registry.champion import Measured
from tasks.registry.models import Model, Origin, list_models
from tasks.run.spec import RunSpec
from tasks.store.run_records import RunRecord, new_run_id
from tests.support.runs import run_plainly

MakeSpec = Callable[..., RunSpec]


def test_a_model_is_listed_with_what_it_was_trained_on(make_spec: MakeSpec, data: Path) -> None:
    spec = make_spec(data)
    done = run_plainly(spec, "train")
    (plain,) = list_models(spec.store)
    assert plain.origin == Origin()
    baseline = replace(
        done["train"][0], stage="baseline", key="ba5e", outputs=(), stats={"accuracy": 0.75}
    )
    write = spec.store.root / "baseline" / "ba5e" / "manifest.json"
    write.parent.mkdir(parents=True)
    write.write_text(baseline.to_json())
    for about in ({"preset": "sample", "data": "/x/shop"}, {"preset": "mine.yaml", "data": "/y"}):
        record = RunRecord(spec.store, new_run_id(), **about)
        record.stage("train", {"model": done["train"][0].key})
        if about["preset"] == "sample":
            record.stage("baseline", {"linear": "ba5e"})
        record.finish("completed")
    (model,) = list_models(spec.store)
    assert model.origin == Origin("mine.yaml", "/y", 0.75)  # of the newest run that says it


def test_a_list_of_models_fits_the_terminal() -> None:
    measured = Measured(tests="t", threshold=0.5, generated=False, rows=9, accuracy=0.9312)
    models = [
        Model(
            model=f"train/{key}",
            digest=key,
            created="2026-11-27T22:57:22+00:00",
            run="r",
            measured=measured,
            generated=False,
            champion=key[-1] == "0",
            champions=("champion",) if key[-1] == "0" else (),
            was=False,
            latest=key[-1] == "0",
            origin=Origin("presets/balanced.yaml", "/data/reviews-of-the-whole-year", 0.909),
        )
        for key in ("b70cf32e0a", "b70cf32e10", "ede3393d00")
    ]
    head, *rows = lines_of(models, 90)
    assert max(map(len, [head, *rows])) <= 90
    # As many digits as tell them apart, and the name of the data cut.
    assert rows[0] == ("b70cf32e0  2026-11-27 22:57  reviews-of-the-w…  balanced  93.12%  90.90%")
    assert rows[1].endswith("90.90%  champion, latest")
    assert list(lines_of(models, 200))[1].split()[3] == "reviews-of-the-whole-year"
