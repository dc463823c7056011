"""Settings as flat names."""

from sentiment.settings import flatten


def test_names_are_those_of_set() -> None:
    nested = {"train": {"model": {"layers": 2}, "epochs": 1}, "format": 2, "tune": {}}
    assert flatten(nested) == {"train.model.layers": 2, "train.epochs": 1, "format": 2, "tune": {}}
