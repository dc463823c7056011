"""Texts in, probabilities out: what ``Classifier`` and the measuring of a champion share."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

from sentiment.errors import DataError
from sentiment.model.batches import BatchSource, one_behind
from sentiment.model.bundle import Bundle
from sentiment.model.inference import probabilities, score, score_fast
from sentiment.text.tensors import EncodedReviews, encode_words
from sentiment.text.tokenize import WORDS, tokenize_texts

WINDOW = 4_096  # texts held as words at a time, among which batches of similar length are made
AT_ONCE = 1 << 21  # characters tokenized at a time, which takes several times their size


class Scores(NamedTuple):
    """P(positive) of texts, their words, the unknown words among them, and early exits.

    ``exited`` says whether a part of the model answered; each has shape (texts,).
    """

    probabilities: npt.NDArray[np.float64]
    words: npt.NDArray[np.int32]
    unknown: npt.NDArray[np.int32]
    exited: npt.NDArray[np.bool_]


def barely_known(scores: Scores) -> npt.NDArray[np.bool_]:
    """Return for each text whether the model knows fewer than half of its words, shape (texts,).

    Its probability then says little: the text may be in another language.
    """
    barely: npt.NDArray[np.bool_] = 2 * (scores.words - scores.unknown) < scores.words
    return barely


def score_texts(
    bundle: Bundle, texts: Iterable[str], device: torch.device, *, fast: bool = False
) -> npt.NDArray[np.float64]:
    """Return P(positive) of each text, shape (texts,), holding few of ``WINDOW`` texts at a time.

    The bundle's model must be on ``device``; with ``fast`` the bundle must have early exits.
    Raises DataError as ``encode_texts`` does.
    """
    windows = _windows(texts)
    first = next(windows, [])
    if len(first) < WINDOW:  # all: a thread of its own would cost more than a single text
        return score_encoded(bundle, encode_texts(bundle, first), device, fast=fast).probabilities
    scored = score_windows(bundle, chain([first], windows), device, fast=fast)
    return np.concatenate([scores.probabilities for scores in scored])


def score_windows(
    bundle: Bundle, windows: Iterable[Sequence[str]], device: torch.device, *, fast: bool = False
) -> Iterator[Scores]:
    """Yield the scores of each window of texts; the next one is read while a thread scores."""

    def encoded() -> Iterator[EncodedReviews]:
        first = 0
        for texts in windows:
            yield encode_texts(bundle, texts, first)
            first += len(texts)

    def scored(reviews: EncodedReviews) -> Scores:
        return score_encoded(bundle, reviews, device, fast=fast)

    return one_behind(scored, encoded())


def encode_texts(bundle: Bundle, texts: Sequence[str], first: int = 0) -> EncodedReviews:
    """Encode texts that are all in memory; a text without a word counts as one unknown word.

    Raises DataError for a text with half of a surrogate pair, which is not valid Unicode; in the
    message the first text has the number ``first``.
    """
    config = bundle.config
    check_encodable(texts, first)
    step = max(1, len(texts) * AT_ONCE // max(1, sum(map(len, texts))))
    parts = (texts[at : at + step] for at in range(0, max(1, len(texts)), step))
    words = pa.concat_arrays(
        [tokenize_texts(pa.array(part, pa.string()), config.tokenize) for part in parts]
    )
    if pc.min(pc.list_value_length(words)).as_py() == 0:
        words = pa.array([found or [""] for found in words.to_pylist()], WORDS)
    return encode_words(
        words,
        bundle.vocabulary,
        config.tensors,
        labels=np.zeros(len(texts), np.uint8),
        rows=np.arange(len(texts)),
    )


def score_encoded(
    bundle: Bundle, reviews: EncodedReviews, device: torch.device, *, fast: bool = False
) -> Scores:
    """Score encoded texts."""
    config = bundle.config
    source = BatchSource(
        reviews,
        padding=config.train.padding,
        max_length=config.tensors.max_length,
        device=device,
    )
    if fast:
        logits, exited = score_fast(bundle.model, source, config.early_exits, config.threshold)
    else:
        logits, exited = score(bundle.model, source), np.zeros(len(source), np.bool_)
    return Scores(probabilities(logits), reviews.words, reviews.unknown, exited)


def check_encodable(texts: Iterable[str], first: int = 0) -> None:
    """Raise DataError for a text with half of a surrogate pair."""
    for row, text in enumerate(texts, first):
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise DataError(
                f"texts[{row}] holds {error.object[error.start]!a}, half of a surrogate pair, "
                f"which is not valid Unicode: {text[:60]!a}. Decode it again, or leave it out."
            ) from None


def _windows(texts: Iterable[str]) -> Iterator[list[str]]:
    iterator = iter(texts)
    while window := list(islice(iterator, WINDOW)):
        yield window
