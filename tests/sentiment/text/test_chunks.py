"""What is known of a chunk holds beside any other, and is what NLTK says."""

from itertools import chain, product

import pyarrow as pa
import pytest
from hypothesis import given, settings
from punkt.data import english

from sentiment.text.chunks import LONGEST, evident, is_steady, stand_in
from sentiment.text.nltk_words import ask, word_tokenize
from tests.support.texts import joined, pieces

STEADY = (
    'foo foo, foo. (foo "foo foo! foo?! foo!" foo.) foo... foo). don\'t 0,0 a.b étés - , . ... ?! '
    "dogs' 'so' 'it') foo.\"bar foo.)bar foo!!!bar b.<br abc0. a.0."
)
OPEN = "mr. J. u.s. 0. inc. ) \" '' x's' foo!,\" foo.\"bar. foo'!. été. a\tb a\u00a0b :)"


@pytest.mark.parametrize("chunk", STEADY.split(" "))
def test_steady_chunks(chunk: str) -> None:
    assert is_steady(chunk)


@pytest.mark.parametrize("chunk", OPEN.split(" "))
def test_open_chunks(chunk: str) -> None:
    assert not is_steady(chunk)


@settings(max_examples=500)
@given(joined([""]), pieces, pieces)
def test_a_steady_chunk_has_the_same_tokens_beside_anything_steady(
    chunk: str, before: str, after: str
) -> None:
    if is_steady(chunk) and is_steady(before) and is_steady(after):
        parts = [word_tokenize(part) for part in (before, chunk, after)]
        assert word_tokenize(f"{before} {chunk} {after}") == [*chain.from_iterable(parts)]


SIGNS = [*"as0.,!-\"'()&;<:", "n't", "--", "...", "cannot", "é"]


@pytest.mark.parametrize("first", SIGNS)
def test_what_is_evident_is_steady_and_what_nltk_says(first: str) -> None:
    chunks = [first + "".join(rest) for size in range(4) for rest in product(SIGNS, repeat=size)]
    found = zip(chunks, evident(pa.array(chunks)).to_pylist(), strict=True)
    tokens = {chunk: words for chunk, words in found if words is not None}
    assert all(map(is_steady, tokens))
    assert [*tokens.values()] == ask([*tokens])


@settings(max_examples=500)
@given(joined([""]))
def test_what_is_evident_of_any_chunk_is_what_nltk_says(chunk: str) -> None:
    (tokens,) = evident(pa.array([chunk])).to_pylist()
    assert tokens is None or (is_steady(chunk) and tokens.split() == word_tokenize(chunk))


def test_nothing_is_evident_of_a_long_chunk() -> None:
    chunks = ["x" * LONGEST, "x" * (LONGEST + 1), "cannot", "don't."]
    assert evident(pa.array(chunks)).to_pylist() == ["x" * LONGEST, None, None, "do n't ."]


PLAIN = ["foo", "i", "a", "zzz", *sorted(english.SENT_STARTERS), *sorted(english.ORTHO_CONTEXT)]


@pytest.mark.parametrize("before", ["mr.", "u.s.", "j.", "5.", "e.g.", "No.", "x...", "B."])
def test_a_word_and_its_stand_in_mean_the_same_behind_a_period(before: str) -> None:
    def tokens_before(chunk: str) -> list[str]:
        return word_tokenize(f"{before} {chunk} b")[: -1 - len(word_tokenize(chunk))]

    for word in PLAIN[::90]:
        for chunk in (word, word.title(), f"{word}'s", f"{word},"):
            if like := stand_in(chunk):
                assert tokens_before(chunk) == tokens_before(like), chunk


NOT_PLAIN = ["", "levine", "cannot", "5", "a.", "a!", "é", "x-y", "(a", 'a"b!']


@pytest.mark.parametrize("chunk", NOT_PLAIN)
def test_nothing_stands_in_for_what_is_not_a_plain_word(chunk: str) -> None:
    assert stand_in(chunk) is None
