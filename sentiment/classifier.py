"""The public interface to a trained model: texts in, probabilities out."""

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from sentiment.explain.explanation import Explanation, explain_text
from sentiment.model.bundle import Bundle
from sentiment.model.registry import model_in_use
from sentiment.model.texts import Scores, score_texts, score_window

LABELS = ("negative", "positive")


class Classifier:
    """Scores texts with a trained model.

    >>> from sentiment import Classifier
    >>> classifier = Classifier.load()  # doctest: +SKIP
    >>> classifier.predict(["could not be better"])  # doctest: +SKIP
    ['positive']

    Texts may be any iterable; only a few thousand are in memory at a time. Several threads may
    share one classifier.
    """

    def __init__(self, bundle: Bundle, device: str | torch.device = "cpu") -> None:
        self._bundle = bundle
        self._device = torch.device(device)
        bundle.model.to(self._device)

    @classmethod
    def load(
        cls, path: str | Path | None = None, device: str | torch.device = "cpu"
    ) -> "Classifier":
        """Load a model bundle; raises ModelError if it is missing or damaged.

        Without a path, load the champion of the storage folder, or the latest trained model if
        there is no champion yet. The storage folder is the environment variable SENTIMENT_STORAGE,
        or else ``./storage``.
        """
        if path is None:
            path = model_in_use(Path(os.environ.get("SENTIMENT_STORAGE") or "storage"))
        return cls(Bundle.load(Path(path)), device)

    def probabilities(self, texts: Iterable[str]) -> npt.NDArray[np.float64]:
        """Return P(positive) of each text, float64 of shape (number of texts,).

        A text's probability does not depend on the other texts. A text without words is scored as
        one unknown word. Raises DataError for a text with an unpaired surrogate, which is not valid
        Unicode.
        """
        if isinstance(texts, str):
            raise TypeError("probabilities() takes several texts. Put a single text into a list.")
        return score_texts(self._bundle, texts, self._device)

    def predict(self, texts: Iterable[str], threshold: float = 0.5) -> list[str]:
        """Return ``negative`` or ``positive`` for each text."""
        return [LABELS[int(p >= threshold)] for p in self.probabilities(texts)]

    def explain(self, text: str) -> Explanation:
        """Explain a text's probability word by word; needs the extra ``explain``."""
        return explain_text(self._bundle, text, self._device)

    def score(self, texts: list[str]) -> Scores:
        """Return P(positive) and word counts of texts that fit in memory."""
        return score_window(self._bundle, texts, self._device)
