"""Cleaning of a review's text before it is split into words."""

import re
from collections.abc import Callable
from typing import Literal

from pydantic import Field

from sentiment.settings import Settings, operational

URL = "<url>"
# Stands for a URL while NLTK works, which would split "<url>" in three. It is a private-use
# character, which NLTK leaves alone between spaces; one that occurs in a text is replaced.
URL_MARK = "\ue000"

_DIGIT = re.compile(r"\d")
_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_ARTICLE_HINTS = ("www.", "http:", "https:", ".com")
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
# Every match in an ASCII text contains one of these, and most texts have none: a shortcut.
# (In other texts a letter such as the dotless i may match one that it is not equal to.)
_WHOLE_HINTS = ("http", "www", ".com", ".org", ".net", ".edu", ".gov", ".info", ".biz", ".co.")
_PATH_HINT = re.compile(r"\.\w{2,4}/")
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
        text = _zero_digits(text)
    return _URL_RULES[config.urls](text)


def _zero_digits(text: str) -> str:
    if text.isascii():  # six times faster, and most texts are
        return text.encode("ascii").translate(_ZEROS).decode("ascii")
    return _DIGIT.sub("0", text)


def _mark_whole_urls(text: str) -> str:
    text = text.replace(URL_MARK, "\ufffd")
    lowered = text.lower()
    hinted = any(hint in lowered for hint in _WHOLE_HINTS) or _PATH_HINT.search(lowered)
    if not hinted and text.isascii():
        return text

    def mark(match: re.Match[str]) -> str:
        url = match[0].rstrip(_TRAILING)
        return f" {URL_MARK} {match[0][len(url) :]}"

    return _WHOLE_URL.sub(mark, text)


def _article_urls(text: str) -> str:
    if any(hint in text for hint in _ARTICLE_HINTS):
        return _ARTICLE_URL.sub(URL, text)
    return text


_URL_RULES: dict[str, Callable[[str], str]] = {
    "whole": _mark_whole_urls,
    "article": _article_urls,
    "keep": lambda text: text,
}
