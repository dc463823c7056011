"""Class weights beside scikit-learn's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from sentiment.training.class_weights import class_weights

counts = st.integers(1, 500)


@given(negatives=counts, positives=counts)
def test_balanced_is_what_scikit_learn_means_by_it(negatives: int, positives: int) -> None:
    labels = np.repeat(np.array([0, 1], np.uint8), [negatives, positives])
    expected = compute_class_weight("balanced", classes=np.array([0, 1]), y=labels)
    found = class_weights("balanced", labels)
    assert found is not None
    assert found.tolist() == pytest.approx(expected.tolist())


@given(negatives=counts, positives=counts, weight=st.floats(0.01, 100), times=st.floats(0.01, 100))
def test_only_the_ratio_of_numbers_counts(
    negatives: int, positives: int, weight: float, times: float
) -> None:
    labels = np.repeat(np.array([0, 1], np.uint8), [negatives, positives])
    found = class_weights({"negative": weight, "positive": 1}, labels)
    more = class_weights({"negative": weight * times, "positive": times}, labels)
    assert found is not None and more is not None
    assert found.tolist() == pytest.approx(more.tolist())
    assert found[0] / found[1] == pytest.approx(weight)
    assert found[labels].mean() == pytest.approx(1)


def test_without_a_setting_there_are_none() -> None:
    assert class_weights(None, np.array([0, 1], np.uint8)) is None
