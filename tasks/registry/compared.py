"""Two models side by side: how their settings and figures differ, and where they disagree."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from sentiment.errors import StorageError
from sentiment.evaluation.comparison import compare
from sentiment.evaluation.side_by_side import Answers, differences, disagreements, figures
from sentiment.files import read_json
from sentiment.reports.comparison import Comparison, Disagreement
from sentiment.settings import flatten
from tasks.manifest import Artifact, Manifest
from tasks.registry.sides import Side, about, find_side, sections_of
from tasks.run.config import PipelineConfig
from tasks.store.store import Store

T = TypeVar("T")


def compare_models(store: Store, a: str, b: str, most: int) -> Comparison:
    """Compare two models or runs of a storage; show at ``most`` that many reviews each way.

    Each is named by a run's id, a champion's name, the start of a model's key, ``latest``, or a
    bundle's folder. Raises ModelError if there is no such model, StorageError if its results
    cannot be read.
    """
    found = (find_side(store, a), find_side(store, b))
    measured, same = _evaluations(found)
    sides = (_at(found[0], measured[0]), _at(found[1], measured[1]))
    one = answers_of(store, measured[0]) if measured[0] else None
    two = answers_of(store, measured[1]) if measured[1] else None
    changed, unknown = differing(sides)
    comparison = Comparison(
        names=(a, b),
        about=(about(sides[0]), about(sides[1])),
        settings=changed,
        unknown=unknown,
        rows=(one.labels.size if one else None, two.labels.size if two else None),
        thresholds=(one.threshold if one else None, two.threshold if two else None),
        figures=(figures(one) if one else {}, figures(two) if two else {}),
    )
    if one is None or two is None or measured[0] is None or not same:
        return replace(comparison, why_not=_why_not(sides, (one, two)))
    places = disagreements(one, two, most)
    texts = texts_at(store, measured[0], [*places[0], *places[1]])
    shown = [
        [
            Disagreement(
                label=int(one.labels[place]),
                a=float(one.probabilities[place]),
                b=float(two.probabilities[place]),
                text=texts.get(place),
            )
            for place in side
        ]
        for side in places
    ]
    return replace(
        comparison,
        difference=differences(one, two),
        test=compare(two.right, one.right),
        only_a=shown[0],
        only_b=shown[1],
    )


def _evaluations(
    sides: tuple[Side, Side],
) -> tuple[tuple[Manifest | None, Manifest | None], bool]:
    """Return an evaluation of each side, and whether they are of the same reviews."""
    one, two = (side.evaluated for side in sides)
    for first in one:
        for second in two:
            if tests_of(first) == tests_of(second):
                return (first, second), True
    return (next(iter(one), None), next(iter(two), None)), False


def tests_of(evaluated: Manifest) -> list[str]:
    """Return the digests of the test reviews of an evaluation."""
    return [file["sha256"] for file in evaluated.inputs["test_reviews"]]


def _at(side: Side, evaluated: Manifest | None) -> Side:
    """Return a side with the settings of the evaluation that is shown."""
    if evaluated is None:
        return side
    return replace(side, settings={**side.settings, **sections_of(evaluated)})


def _why_not(sides: tuple[Side, Side], answers: Sequence[Answers | None]) -> str:
    missing = [side for side, found in zip(sides, answers, strict=True) if found is None]
    if missing:
        names = " and ".join(side.name for side in missing)
        return (
            f"This storage has no evaluation of {names}, so the models cannot be compared review "
            "by review. `sentiment run` with a model's settings measures it again; all that is "
            "still there is cached."
        )
    return (
        "The models were measured on different test reviews, so their figures cannot be compared, "
        "and McNemar's test does not apply. `sentiment run` with the settings of one and the data "
        "of the other measures both on the same reviews."
    )


def differing(sides: tuple[Side, Side]) -> tuple[dict[str, tuple[Any, Any]], dict[str, str]]:
    """Return the settings that differ, and by section which side's are not known."""
    one, two = sides
    both = [
        name
        for name in PipelineConfig.model_fields
        if name in one.settings and name in two.settings
    ]
    unknown = {
        section: (two if section in one.settings else one).name
        for section in PipelineConfig.model_fields
        if (section in one.settings) != (section in two.settings)
        and section != "sample"  # which a model of real reviews does not have
    }
    flat = [flatten({name: side.settings[name] for name in both}) for side in sides]
    names = dict.fromkeys((*flat[0], *flat[1]))
    pairs = {name: (flat[0].get(name), flat[1].get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}, unknown


def answers_of(store: Store, evaluated: Manifest) -> Answers:
    """Return a model's answers to the test reviews; raises StorageError if they are damaged."""

    def read() -> Answers:
        artifacts = [evaluated.output(name) for name in ("predictions.parquet", "metrics.json")]
        table = pq.read_table(store.file(artifacts[0]), columns=["label", "probability"])
        return Answers(
            table["label"].to_numpy(),
            table["probability"].to_numpy(),
            float(read_json(store.file(artifacts[1]))["threshold"]),
        )

    return _intact(store, evaluated, read)


def texts_at(store: Store, evaluated: Manifest, places: Sequence[int]) -> dict[int, str]:
    """Return the texts of test reviews by their places, without those that are gone."""
    shards: dict[str, tuple[Manifest, Artifact]] = {
        artifact.sha256: (manifest, artifact)
        for manifest in store.results("ingest")
        for artifact in manifest.outputs
    }
    texts: dict[int, str] = {}
    start = 0
    for digest in tests_of(evaluated):
        if digest not in shards:
            break  # how many reviews it had is not known either
        manifest, artifact = shards[digest]
        inside = [place for place in places if start <= place < start + (artifact.rows or 0)]
        if inside:
            column = _intact(store, manifest, lambda a=artifact: _texts(store, a))  # type: ignore[misc]
            texts |= {place: column[place - start].as_py() for place in inside}
        start += artifact.rows or 0
    return texts


def _texts(store: Store, shard: Artifact) -> pa.ChunkedArray:
    return pq.read_table(store.file(shard), columns=["text"])["text"]


def _intact(store: Store, manifest: Manifest, read: Callable[[], T]) -> T:
    """Return what ``read`` returns of a result; raises StorageError if it is damaged."""
    try:
        return read()
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        place = store.place(f"{manifest.stage}/{manifest.key}")
        raise StorageError(
            f"{place}: cannot be read ({error}). The command that made it makes it again: "
            "`sentiment run ... --verify`."
        ) from error
