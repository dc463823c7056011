"""Words as ``nltk.word_tokenize`` cuts them, without its download."""

from pathlib import Path
from typing import Any

import nltk
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from nltk.tokenize.punkt import PunktSentenceTokenizer, PunktTokenizer

from sentiment.text import nltk_words
from sentiment.text.nltk_words import MARK, ask, word_tokenize, words_of, words_of_sentences
from tests.support.reviews import made_up_reviews
from tests.support.texts import joined

ROOT = Path(__file__).parents[3]

SENTENCES = {
    "The lamp works.": ["The", "lamp", "works", "."],
    "I can't say it's good": ["I", "ca", "n't", "say", "it", "'s", "good"],
    "It broke. I cried.": ["It", "broke", ".", "I", "cried", "."],
    # An abbreviation ends no sentence, so its full stop stays with it.
    "Dr. Jones paid $5.50 for it.": ["Dr.", "Jones", "paid", "$", "5.50", "for", "it", "."],
    "Made by Acme Corp. in Ohio.": ["Made", "by", "Acme", "Corp.", "in", "Ohio", "."],
    "I gonna cannot wait": ["I", "gon", "na", "can", "not", "wait"],
    'He said "no way".': ["He", "said", "``", "no", "way", "''", "."],
    "(so-so), 50% off... really?!": [
        "(", "so-so", ")", ",", "50", "%", "off", "...", "really", "?", "!",
    ],
    "": [],
    " \n\t ": [],
    "très “bon”": ["très", "“", "bon", "”"],
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), SENTENCES.items())
def test_known_sentences(text: str, expected: list[str]) -> None:
    assert word_tokenize(text) == expected


def test_the_sentence_parameters_are_in_use() -> None:
    text = "He met Mrs. Jones. She left."
    sentences, _ = nltk_words._tokenizers()
    assert sentences.tokenize(text) == ["He met Mrs. Jones.", "She left."]
    assert PunktSentenceTokenizer().tokenize(text) == ["He met Mrs.", "Jones.", "She left."]


texts = st.text(st.sampled_from("ab Mr.,!?'\"$%()-–…“”<>&0\n\tcan'tI.e"), max_size=40)


@given(texts | st.text(max_size=40))
def test_no_character_but_space_is_lost(text: str) -> None:
    # NLTK writes a straight double quote as `` or ''.
    kept = "".join(word_tokenize(text.replace('"', "").replace("`", "").replace("''", "")))
    assert kept == "".join(text.replace('"', "").replace("`", "").replace("''", "").split())


def nltks_own_parameters() -> Any:
    """Return what ``nltk.word_tokenize`` uses, where its data is installed."""
    try:
        return PunktTokenizer("english")._params
    except LookupError:
        pytest.skip("NLTK's own data (punkt_tab) is not installed")


@pytest.mark.parametrize("table", ["abbrev_types", "sent_starters", "collocations"])
def test_the_parameters_are_those_of_nltk(table: str) -> None:
    theirs = nltks_own_parameters()
    assert set(getattr(ours(), table)) == set(getattr(theirs, table))


def test_the_contexts_of_words_are_those_of_nltk() -> None:
    theirs = nltks_own_parameters()
    assert dict(ours().ortho_context) == dict(theirs.ortho_context)


def test_words_are_those_of_nltk() -> None:
    nltks_own_parameters()
    for text in [*SENTENCES, *(text for _, text in made_up_reviews(200, seed=9))]:
        assert word_tokenize(text) == nltk.word_tokenize(text)


def ours() -> Any:
    return nltk_words._tokenizers()[0]._params


ODD = ["''a b.", '""a b.', "x's'", "b. )", "b.”", "(b.)", 'a."', "a?", "b...", "i. ) '", "a,", "-"]


@given(st.lists(joined([" "]) | st.sampled_from(ODD), max_size=8))
@example(["a.", '""b.', "c"])
def test_sentences_together_have_the_words_of_each(sentences: list[str]) -> None:
    sentences = [text for sentence in sentences if (text := sentence.strip())]
    expected = [word for sentence in sentences for word in words_of(sentence)]
    assert list(words_of_sentences(sentences)) == expected


@given(st.lists(joined(["", " "]), max_size=8))
def test_questions_asked_together_get_the_answers_of_each(questions: list[str]) -> None:
    questions = [question for question in questions if MARK not in question]
    assert ask(questions) == [ask([question])[0] for question in questions]
