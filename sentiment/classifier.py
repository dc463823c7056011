"""The model in use: texts in, probabilities out."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from sentiment.batches import BatchSource
from sentiment.bundle import Bundle
from sentiment.scoring import probabilities, score
from sentiment.tensors import EncodedReviews, cut, offsets_of
from sentiment.tokenize import tokenize_texts

LABELS = ("negative", "positive")


class Classifier:
    """Scores texts with a trained model.

    >>> from sentiment import Classifier
    >>> classifier = Classifier.load("storage/models/latest")  # doctest: +SKIP
    >>> classifier.predict(["could not be better"])  # doctest: +SKIP
    ['positive']
    """

    def __init__(self, bundle: Bundle, device: str = "cpu") -> None:
        self._bundle = bundle
        self._device = torch.device(device)
        bundle.model.to(self._device)

    @classmethod
    def load(cls, path: str | Path, device: str = "cpu") -> "Classifier":
        """Read a model bundle's folder; raises ModelError when it is missing or damaged."""
        return cls(Bundle.load(Path(path)), device)

    def predict_proba(self, texts: Iterable[str]) -> npt.NDArray[np.float64]:
        """Return the probability that each text is positive, shape (number of texts,).

        A text's probability does not depend on the others. A text without a word is scored as if
        it were one unknown word: check for those where they matter.
        """
        if isinstance(texts, str):
            raise TypeError("predict_proba takes several texts: put a single one into a list.")
        encoded = self._encode(list(texts))
        if not len(encoded):
            return np.empty(0)
        source = BatchSource(
            encoded,
            padding=self._bundle.config.train.padding,
            max_length=self._bundle.config.tensors.max_length,
            device=self._device,
        )
        return probabilities(score(self._bundle.model, source))

    def predict(self, texts: Iterable[str], threshold: float = 0.5) -> list[str]:
        """Return ``negative`` or ``positive`` for each text."""
        return [LABELS[int(p >= threshold)] for p in self.predict_proba(texts)]

    def _encode(self, texts: list[str]) -> EncodedReviews:
        words = [w or [""] for w in tokenize_texts(texts, self._bundle.config.tokenize)]
        flat = pa.array([word for tokens in words for word in tokens], pa.string())
        lengths = np.array([len(tokens) for tokens in words], dtype=np.int32)
        ids, offsets = cut(
            self._bundle.vocabulary.encode(flat),
            offsets_of(lengths),
            self._bundle.config.tensors.max_length,
        )
        return EncodedReviews(
            ids=ids,
            offsets=offsets,
            labels=np.zeros(len(texts), np.uint8),
            rows=np.arange(len(texts)),
            words=lengths,
            unknown=np.zeros(len(texts), np.int32),
        )
