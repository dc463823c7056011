"""The model in use: texts in, probabilities out."""

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from sentiment.errors import DataError
from sentiment.explain.explanation import Explanation, explain_text
from sentiment.model.batches import BatchSource
from sentiment.model.bundle import Bundle
from sentiment.model.inference import probabilities, score
from sentiment.model.registry import model_in_use
from sentiment.text.tensors import encode_words
from sentiment.text.tokenize import tokenize_texts

LABELS = ("negative", "positive")
WINDOW = 4_096  # texts held as words at a time, among which batches of similar length are made


class Scores(NamedTuple):
    """What is learnt of texts: P(positive), words, unknown words among them; each (texts,)."""

    probabilities: npt.NDArray[np.float64]
    words: npt.NDArray[np.int32]
    unknown: npt.NDArray[np.int32]


class Classifier:
    """Scores texts with a trained model.

    >>> from sentiment import Classifier
    >>> classifier = Classifier.load()  # doctest: +SKIP
    >>> classifier.predict(["could not be better"])  # doctest: +SKIP
    ['positive']

    Texts may be any iterable; of a stream only some thousand are in memory at a time.
    One classifier may be used by several threads at once.
    """

    def __init__(self, bundle: Bundle, device: str | torch.device = "cpu") -> None:
        self._bundle = bundle
        self._device = torch.device(device)
        bundle.model.to(self._device)

    @classmethod
    def load(
        cls, path: str | Path | None = None, device: str | torch.device = "cpu"
    ) -> "Classifier":
        """Read a model bundle's folder; raises ModelError when it is missing or damaged.

        Without a path, the champion of the storage folder, which the commands use too; while
        there is none, the latest trained model. The folder is that of the environment variable
        SENTIMENT_STORAGE, else ``./storage``.
        """
        if path is None:
            path = model_in_use(Path(os.environ.get("SENTIMENT_STORAGE") or "storage"))
        return cls(Bundle.load(Path(path)), device)

    def predict_proba(self, texts: Iterable[str]) -> npt.NDArray[np.float64]:
        """Return the probability that each text is positive, shape (number of texts,).

        A text's probability does not depend on the others. A text without a word is scored as if
        it were one unknown word: check for those where they matter. DataError names a text that no
        Unicode encoding could hold, one with half of a surrogate pair.
        """
        if isinstance(texts, str):
            raise TypeError("predict_proba takes several texts: put a single one into a list.")
        scored = [self.score(window).probabilities for window in _windows(texts)]
        return np.concatenate(scored) if scored else np.empty(0)

    def predict(self, texts: Iterable[str], threshold: float = 0.5) -> list[str]:
        """Return ``negative`` or ``positive`` for each text."""
        return [LABELS[int(p >= threshold)] for p in self.predict_proba(texts)]

    def explain(self, text: str) -> Explanation:
        """Return what leads to a text's probability, word by word; needs the extra ``explain``."""
        return explain_text(self._bundle, text, self._device)

    def score(self, texts: list[str]) -> Scores:
        """Return P(positive) of texts, all held in memory at once, and counts of their words."""
        config = self._bundle.config
        check_encodable(texts)
        words = [w or [""] for w in tokenize_texts(texts, config.tokenize)]
        encoded = encode_words(
            pa.array(words, pa.list_(pa.string())),
            self._bundle.vocabulary,
            config.tensors.max_length,
            labels=np.zeros(len(texts), np.uint8),
            rows=np.arange(len(texts)),
        )
        source = BatchSource(
            encoded,
            padding=config.train.padding,
            max_length=config.tensors.max_length,
            device=self._device,
        )
        chances = probabilities(score(self._bundle.model, source))
        return Scores(chances, encoded.words, encoded.unknown)


def check_encodable(texts: Iterable[str]) -> None:
    """Raise DataError for a text with half of a surrogate pair."""
    for text in texts:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise DataError(
                f"A text holds {error.object[error.start]!a}, half of a surrogate pair, and so is "
                f"no Unicode: {text[:60]!a}. Decode it anew, or leave it out."
            ) from None


def _windows(texts: Iterable[str]) -> Iterator[list[str]]:
    iterator = iter(texts)
    while window := list(islice(iterator, WINDOW)):
        yield window
