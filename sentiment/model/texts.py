"""Texts in, probabilities out: what ``Classifier`` and the measuring of a champion share."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

from sentiment.errors import DataError
from sentiment.model.batches import BatchSource
from sentiment.model.bundle import Bundle
from sentiment.model.inference import probabilities, score
from sentiment.text.tensors import encode_words
from sentiment.text.tokenize import WORDS, tokenize_texts

WINDOW = 4_096  # texts held as words at a time, among which batches of similar length are made
AT_ONCE = 1 << 19  # characters tokenized at a time, which takes several times their size


class Scores(NamedTuple):
    """P(positive) of texts, their words, and the unknown words among them; each (texts,)."""

    probabilities: npt.NDArray[np.float64]
    words: npt.NDArray[np.int32]
    unknown: npt.NDArray[np.int32]


def barely_known(scores: Scores) -> npt.NDArray[np.bool_]:
    """Return for each text whether the model knows fewer than half of its words, shape (texts,).

    Its probability then says little: the text may be in another language.
    """
    barely: npt.NDArray[np.bool_] = 2 * (scores.words - scores.unknown) < scores.words
    return barely


def score_texts(
    bundle: Bundle, texts: Iterable[str], device: torch.device
) -> npt.NDArray[np.float64]:
    """Return P(positive) of each text, shape (texts,), holding ``WINDOW`` texts at a time.

    The bundle's model must be on ``device``. Raises DataError as ``score_window`` does.
    """
    scored: list[npt.NDArray[np.float64]] = []
    for number, window in enumerate(_windows(texts)):
        scored.append(score_window(bundle, window, device, number * WINDOW).probabilities)
    return np.concatenate(scored) if scored else np.empty(0)


def score_window(
    bundle: Bundle, texts: Sequence[str], device: torch.device, first: int = 0
) -> Scores:
    """Score texts that are all in memory; a text without a word counts as one unknown word.

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
    encoded = encode_words(
        words,
        bundle.vocabulary,
        config.tensors.max_length,
        labels=np.zeros(len(texts), np.uint8),
        rows=np.arange(len(texts)),
    )
    source = BatchSource(
        encoded,
        padding=config.train.padding,
        max_length=config.tensors.max_length,
        device=device,
    )
    return Scores(probabilities(score(bundle.model, source)), encoded.words, encoded.unknown)


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
