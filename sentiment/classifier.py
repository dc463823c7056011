"""The model in use: texts in, probabilities out."""

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
        return score_texts(self._bundle, texts, self._device)

    def predict(self, texts: Iterable[str], threshold: float = 0.5) -> list[str]:
        """Return ``negative`` or ``positive`` for each text."""
        return [LABELS[int(p >= threshold)] for p in self.predict_proba(texts)]

    def explain(self, text: str) -> Explanation:
        """Return what leads to a text's probability, word by word; needs the extra ``explain``."""
        return explain_text(self._bundle, text, self._device)

    def score(self, texts: list[str]) -> Scores:
        """Return P(positive) of texts, all held in memory at once, and counts of their words."""
        return score_window(self._bundle, texts, self._device)
