"""The 2019 article's preprocessing as plain loops: a baseline to time and a reference to check.

As in the article, everything is read into memory, and each stage loops over all reviews. Written
for the benchmark: it shares only ``word_tokenize``, which is NLTK's, with the project. The rules
are those of the default configuration.
"""

import bz2
import re
from collections import Counter
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from sentiment.text.nltk_words import word_tokenize

PAD, UNKNOWN = 0, 1
SPECIAL = ["_PAD", "_UNK"]
URL, URL_MARK = "<url>", "\ue000"

# A URL: http://..., www..., a host under a well-known domain, or a host with a path.
HOST = r"(?:[a-z0-9][a-z0-9-]*\.)+"
DOMAINS = "com|org|net|edu|gov|info|biz|co\\.uk"
DOMAINS_BEFORE_PATH = (
    "com|org|net|edu|gov|mil|info|biz|co|us|uk|ca|au|de|fr|es|it|jp|cn|in|eu|nl|tv|io|me"
)
REST = r"[^\s<>\"]"
URL_PATTERN = (
    r"(?<![\w@./-])(?:"
    rf"https?:\s?//{REST}+"
    rf"|www\d?\.[^\s<>\".]{REST}*"
    rf"|{HOST}(?:{DOMAINS})(?::\d+)?(?:/{REST}*)?(?![\w@-])"
    rf"|{HOST}(?:{DOMAINS_BEFORE_PATH})/{REST}*"
    r")"
)
AFTER_URL = ".,;:!?'\")]}*-"

Ids = list[list[int]]
Padded = npt.NDArray[np.int64]


class Preprocessed(NamedTuple):
    """The results: labels, tokens, words by id, ids, and padded ids."""

    labels: list[int]
    tokens: list[list[str]]
    words: list[str]
    ids: Ids
    padded: Padded


def read(path: Path) -> tuple[list[int], list[str]]:
    """Read all lines of a bz2 file; return labels (0 negative, 1 positive) and texts."""
    with bz2.open(path) as file:
        lines = file.readlines()
    labels, texts = [], []
    for line in lines:
        label, text = line.decode().removesuffix("\n").removesuffix("\r").split(" ", 1)
        labels.append(0 if label == "__label__1" else 1)
        texts.append(text)
    return labels, texts


def clean(texts: list[str]) -> list[str]:
    """Lower-case, replace digits by 0 and every URL by a mark that NLTK leaves alone."""
    cleaned = []
    for text in texts:
        text = re.sub(r"\d", "0", text.lower()).replace(URL_MARK, "\ufffd")
        if "http" in text or "www" in text or re.search(r"\.\w", text):
            text = re.sub(URL_PATTERN, _mark, text, flags=re.IGNORECASE)
        cleaned.append(text)
    return cleaned


def _mark(match: re.Match[str]) -> str:
    url = match[0].rstrip(AFTER_URL)
    return f" {URL_MARK} {match[0][len(url) :]}"


def tokenize(cleaned: list[str]) -> list[list[str]]:
    """Split each text into words with NLTK."""
    tokens = []
    for text in cleaned:
        tokens.append([URL if word == URL_MARK else word for word in word_tokenize(text)])
    return tokens


def build_vocabulary(tokens: list[list[str]], min_count: int = 2) -> list[str]:
    """Return the words by id: the most frequent first, of equally frequent the first seen."""
    counts: Counter[str] = Counter()
    for words in tokens:
        for word in words:
            counts[word] += 1
    kept = [word for word in counts if counts[word] >= min_count and word not in SPECIAL]
    return SPECIAL + sorted(kept, key=lambda word: -counts[word])


def encode(tokens: list[list[str]], words: list[str]) -> Ids:
    """Replace each token by its id."""
    numbers = {word: number for number, word in enumerate(words) if word not in SPECIAL}
    ids = []
    for review in tokens:
        ids.append([numbers.get(word, UNKNOWN) for word in review])
    return ids


def pad(ids: Ids, max_length: int = 200, side: Literal["left", "right"] = "left") -> Padded:
    """Cut to ``max_length`` ids and fill up with zeros; shape (reviews, max_length)."""
    padded = np.full((len(ids), max_length), PAD, dtype=np.int64)
    for row, review in enumerate(ids):
        kept = review[:max_length]
        if kept and side == "left":
            padded[row, -len(kept) :] = np.array(kept)
        elif kept:
            padded[row, : len(kept)] = np.array(kept)
    return padded


def preprocess(path: Path) -> Preprocessed:
    """Run all stages on a file of training reviews."""
    labels, texts = read(path)
    tokens = tokenize(clean(texts))
    words = build_vocabulary(tokens)
    ids = encode(tokens, words)
    return Preprocessed(labels, tokens, words, ids, pad(ids))
