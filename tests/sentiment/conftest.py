"""Fixtures and settings for the tests of `sentiment/`."""

import pytest
import torch
from hypothesis import settings

from tests.support.bundles import Trained, train_small

# How long an example takes says nothing about the code: other work may run beside the tests.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# Models as small as here run faster on one thread, above all on a loaded machine.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Train on 240 reviews, 30 validate; 90 reviews in two shards, a few mislabelled, test."""
    return train_small(tmp_path_factory.mktemp("trained"))
