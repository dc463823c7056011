"""A memory of answers, against a plain dict."""

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sentiment.text.answers import Answers
from sentiment.text.chunks import LONGEST

WORDS = st.lists(st.sampled_from(["a", "lamp", ".", "é"]), max_size=4)
Truth = dict[str, list[str] | None]
PIECES = st.dictionaries(
    st.text("abé. ", min_size=1, max_size=6), st.none() | WORDS, min_size=1, max_size=20
)
ASKED = PIECES.flatmap(
    lambda truth: st.tuples(
        st.just(truth), st.lists(st.lists(st.sampled_from(sorted(truth)), unique=True), max_size=6)
    )
)


@given(ASKED, st.integers(0, 30), st.randoms(use_true_random=False))
def test_answers_are_those_that_were_given(
    asked: tuple[Truth, list[list[str]]], capacity: int, chance: random.Random
) -> None:
    truth, batches = asked
    answers = Answers(capacity)
    for batch in batches:
        numbers = dict(zip(batch, answers.numbers(batch), strict=True))
        fresh = [key for key in batch if key not in answers]
        assert fresh == [key for key, number in numbers.items() if number is None]
        given = [None if truth[key] is None else " ".join(truth[key] or ()) for key in fresh]
        numbers.update(zip(fresh, answers.add(fresh, given), strict=True))
        told = [key for key in batch if truth[key] is not None] * 2
        chance.shuffle(told)
        words = answers.words(np.array([numbers[key] for key in told], np.int64))
        assert words.to_pylist() == [word for key in told for word in truth[key] or ()]
        assert words.dictionary.to_pylist() == [*dict.fromkeys(words.to_pylist())]
        for key, number in numbers.items():
            assert answers.lengths[number] == (-1 if truth[key] is None else len(truth[key] or ()))
        answers.used(np.array([*numbers.values()], np.int64))
        assert len(answers) <= capacity


def test_a_piece_in_a_context_is_another_one() -> None:
    answers = Answers(10)
    first, second = answers.add(["b.", (True, "b.", False)], ["b.", "b ."])
    assert answers.numbers(["b.", (True, "b.", False)]) == [first, second]
    assert answers.numbers([(False, "b.", False)]) == [None]
    assert answers.words(np.array([second, 0, first])).to_pylist() == ["b", ".", "b."]


def test_long_pieces_take_their_share_of_the_memory() -> None:
    answers = Answers(10)
    answers.add(["x" * (LONGEST + 1), "y"], ["x", "y"])
    assert len(answers) == 1
    answers.add(["z" * LONGEST * 9], ["z"])
    answers.used(np.array([0, 2], np.int64))
    assert "y" in answers and answers._words == ["y"]
