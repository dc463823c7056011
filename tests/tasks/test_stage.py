"""Stages and what they have done."""

from tasks.manifest import Artifact, Manifest
from tasks.stage import shards_of


def test_shards_are_in_the_order_of_their_numbers() -> None:
    names = ["rejects.parquet", "test-00000.parquet", "train-100000.parquet", "train-99999.parquet"]
    outputs = tuple(Artifact(name, f"ingest/key/{name}", "", 1, 1) for name in names)
    manifest = Manifest("ingest", "a.txt", "key", {}, {}, {}, {}, outputs, {}, 0.0, "", "", {})
    assert [label for label, _ in shards_of([manifest])] == [
        "a.txt/test-00000",
        "a.txt/train-99999",
        "a.txt/train-100000",
    ]
