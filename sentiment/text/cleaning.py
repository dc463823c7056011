"""Cleaning of a review's text before it is split into words.

``clean`` says what is done. ``clean_column`` does the same many times faster: what concerns ASCII
characters alone is done to a whole column at once, and only texts with other characters, or with
what may be a URL, are cleaned one by one.
"""

import re
from collections.abc import Callable
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from sentiment.settings import Settings, operational

URL = "<url>"
# Stands for a URL while NLTK works, which would split "<url>" in three. It is a private-use
# character, which NLTK leaves alone between spaces; one that occurs in a text is replaced.
URL_MARK = "\ue000"

FEW = 20  # texts that are cleaned one by one in the time that Arrow takes to compile its patterns

_DIGIT = re.compile(r"\d")
_UPPER, _LOWER = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"abcdefghijklmnopqrstuvwxyz"
_DIGITS, _ZEROS = b"123456789", b"000000000"
_ARTICLE_URL = re.compile(r"([^ ]+(?<=\.[a-z]{3}))")

_TOP_LEVEL = "com|org|net|edu|gov|mil|info|biz|co|us|uk|ca|au|de|fr|es|it|jp|cn|in|eu|nl|tv|io|me"
_WHOLE_URL = re.compile(
    rf"""
    (?<![\w@./-])                               # not inside a word, path or e-mail address
    (?: https?:\s?// [^\s<>"]+                  # http://..., also the frequent "http: //..."
      | www\d?\. [^\s<>".][^\s<>"]*
      | (?:[a-z0-9][a-z0-9-]*\.)+ (?:com|org|net|edu|gov|info|biz|co\.uk)
        (?: :\d+ )? (?: / [^\s<>"]* )? (?![\w@-])
      | (?:[a-z0-9][a-z0-9-]*\.)+ (?:{_TOP_LEVEL}) / [^\s<>"]*
    )
    """,
    re.VERBOSE | re.IGNORECASE,
)
# Every URL in an ASCII text contains one of these, and most texts have none. (In other texts a
# letter such as the dotless i may match one that it is not equal to.)
_URL_HINTS = {
    "whole": r"http|www|\.(?:com|org|net|edu|gov|info|biz|co\.)|\.\w{2,4}/",
    "article": r"www\.|https?:|\.com",
    "keep": "",
}
_TRAILING = ".,;:!?'\")]}*-"


class TokenizeConfig(Settings):
    """How a text is cleaned and split into words."""

    engine: Literal["cached", "nltk"] = operational(
        "cached",
        description="cached: repeats NLTK's own answers where they cannot differ: the same tokens, "
        "many times faster. nltk: asks NLTK every time.",
    )
    lowercase: bool = Field(True, description="Lower-case the text.")
    zero_digits: bool = Field(True, description="Replace every digit by 0.")
    urls: Literal["whole", "article", "keep"] = Field(
        "whole",
        description="whole: a URL becomes one token <url>. article: the 2019 article's rule, which "
        "also matches many words that are not URLs. keep: leave them.",
    )
    negations: Literal["keep", "expand"] = Field(
        "keep",
        description="keep: NLTK's tokens, which split don't into do and n't. expand: not in place "
        "of n't, so that what is learnt from couldn't also holds for could not.",
    )


def clean(text: str, config: TokenizeConfig) -> str:
    """Return the text to tokenize, with ``URL_MARK`` for each URL if ``urls`` is ``whole``."""
    if config.lowercase:
        text = text.lower()
    if config.zero_digits:
        text = _DIGIT.sub("0", text)
    return _URL_RULES[config.urls](text)


def clean_column(texts: pa.StringArray, config: TokenizeConfig) -> pa.StringArray:
    """Return ``clean(text, config)`` of each text; none may be null."""
    if len(texts) < FEW:
        return pa.array([clean(text, config) for text in texts.to_pylist()], pa.string())
    cleaned = _translated(texts, config)
    odd = pc.invert(pc.string_is_ascii(texts))
    if hints := _URL_HINTS[config.urls]:
        ignore_case = config.urls == "whole"
        odd = pc.or_(odd, pc.match_substring_regex(cleaned, hints, ignore_case=ignore_case))
    one_by_one = pa.array([clean(t, config) for t in texts.filter(odd).to_pylist()], pa.string())
    return pc.replace_with_mask(cleaned, odd, one_by_one)


def _translated(texts: pa.StringArray, config: TokenizeConfig) -> pa.StringArray:
    """Lower-case and zero the ASCII characters of a column, all in one buffer."""
    before = (_UPPER if config.lowercase else b"") + (_DIGITS if config.zero_digits else b"")
    after = (_LOWER if config.lowercase else b"") + (_ZEROS if config.zero_digits else b"")
    _, offsets, characters = pa.concat_arrays([texts]).buffers()
    if not before or characters is None:
        return texts
    translated = pa.py_buffer(characters.to_pybytes().translate(bytes.maketrans(before, after)))
    return pa.StringArray.from_buffers(len(texts), offsets, translated)


def _mark_whole_urls(text: str) -> str:
    def mark(match: re.Match[str]) -> str:
        url = match[0].rstrip(_TRAILING)
        return f" {URL_MARK} {match[0][len(url) :]}"

    return _WHOLE_URL.sub(mark, text.replace(URL_MARK, "\ufffd"))


def _article_urls(text: str) -> str:
    return _ARTICLE_URL.sub(URL, text) if re.search(_URL_HINTS["article"], text) else text


_URL_RULES: dict[str, Callable[[str], str]] = {
    "whole": _mark_whole_urls,
    "article": _article_urls,
    "keep": lambda text: text,
}
