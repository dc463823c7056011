"""The public interface to a trained model: texts in, probabilities out."""

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sentiment.errors import DataError, ModelError
from sentiment.explain.explanation import Explanation, explain_text
from sentiment.model.bundle import Bundle
from sentiment.model.registry import OF_GENERATED, model_folder
from sentiment.model.texts import Scores, encode_texts, score_encoded, score_texts, score_windows

LABELS = ("negative", "positive")


class Classifier:
    """Scores texts with a trained model.

    >>> from sentiment import Classifier
    >>> classifier = Classifier.load()  # doctest: +SKIP
    >>> classifier.predict(["could not be better"])  # doctest: +SKIP
    ['positive']

    Texts may be any iterable of strings, such as a list, a generator, a column of a DataFrame, or
    an array of NumPy or Arrow; only a few thousand are in memory at a time. Anything else raises
    DataError, which names the row. Several threads may share one classifier.

    A ``fast`` classifier stops at the part of the model that is sure of a text, and uses a CPU's
    instructions for bfloat16. That may change about one label in a thousand, and changes the
    probabilities of the others. It raises ModelError for a model without early exits.

    ``classes_`` are the labels in the order of the columns of ``predict_proba``.
    """

    classes_: npt.NDArray[np.str_] = np.array(LABELS)

    def __init__(
        self, bundle: Bundle, device: str | torch.device = "cpu", *, fast: bool = False
    ) -> None:
        if fast and not bundle.config.early_exits:
            raise ModelError(
                "This model has no early exits, so it cannot score fast. That takes an LSTM with "
                "n-grams and 3,838 validation reviews or more. Leave out fast."
            )
        self._bundle, self._fast = bundle, fast
        self._device = torch.device(device)
        bundle.model.to(self._device)

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        device: str | torch.device = "cpu",
        *,
        fast: bool = False,
    ) -> "Classifier":
        """Load a model bundle; raises ModelError if it is missing or damaged.

        ``path`` is a bundle's folder, or in the storage folder a champion's name or the start of a
        model's key. Without it, load the champion, or the latest trained model if there is no
        champion yet. The storage folder is the environment variable SENTIMENT_STORAGE, or else
        ``./storage``. A model of generated reviews gives a UserWarning.
        """
        storage = os.environ.get("SENTIMENT_STORAGE") or "storage"
        if "://" in storage and (path is None or not Path(path).exists()):
            raise ModelError(
                f"{storage}: a model is loaded from a folder. Fetch it first, with "
                "`tasks.registry.in_use.bundle_at(None, URL)`, which returns its folder here."
            )
        folder = model_folder(None if path is None else Path(path), Path(storage))
        classifier = cls(Bundle.load(folder), device, fast=fast)
        if classifier.generated:
            warnings.warn(f"{folder}: {OF_GENERATED}", UserWarning, stacklevel=2)
        return classifier

    @property
    def threshold(self) -> float:
        """From this probability on the model's answer is ``positive``."""
        return self._bundle.config.threshold

    @property
    def generated(self) -> bool:
        """Whether the training reviews were generated."""
        return self._bundle.config.generated

    def probabilities(self, texts: Iterable[str]) -> npt.NDArray[np.float64]:
        """Return P(positive) of each text, float64 of shape (number of texts,).

        A text's probability does not depend on the other texts. A text without a known word gets
        that of unknown words alone, which says nothing about it: ``score`` counts them. Raises
        DataError for what is not a text, and for a text with an unpaired surrogate, which is not
        valid Unicode.
        """
        return score_texts(self._bundle, given_texts(texts), self._device, fast=self._fast)

    def predict_proba(self, texts: Iterable[str]) -> npt.NDArray[np.float64]:
        """Return P(negative) and P(positive) of each text, shape (number of texts, 2)."""
        positive = self.probabilities(texts)
        return np.column_stack([1.0 - positive, positive])

    def predict(self, texts: Iterable[str], threshold: float | None = None) -> list[str]:
        """Return ``negative`` or ``positive`` for each text; without a threshold by the model's."""
        at = self.threshold if threshold is None else threshold
        return [LABELS[int(p >= at)] for p in self.probabilities(texts)]

    def explain(self, text: str) -> Explanation:
        """Explain a text's probability word by word; needs the extra ``explain``."""
        (only,) = given_texts([text])
        return explain_text(self._bundle, only, self._device)

    def score(self, texts: Iterable[str]) -> Scores:
        """Return P(positive) and word counts of texts that fit in memory."""
        encoded = encode_texts(self._bundle, [*given_texts(texts)])
        return score_encoded(self._bundle, encoded, self._device, fast=self._fast)

    def score_windows(self, windows: Iterable[Sequence[str]]) -> Iterator[Scores]:
        """Yield the scores of each window of texts, and read the next meanwhile."""
        return score_windows(self._bundle, windows, self._device, fast=self._fast)


def given_texts(texts: Iterable[Any]) -> Iterator[str]:
    """Yield each text; raise DataError at what is not one, and for what holds no texts."""
    kind = type(texts).__name__
    if isinstance(texts, str | bytes):
        raise DataError(f"texts is a single {kind}. Put it into a list.")
    if isinstance(texts, Mapping) or hasattr(texts, "columns"):
        raise DataError(f"texts is a {kind}. Pass one column of it, such as reviews['text'].")
    if getattr(texts, "ndim", 1) != 1:
        raise DataError(f"texts is an array of {texts.ndim} dimensions. Pass one with 1.")  # type: ignore[attr-defined]
    if not isinstance(texts, Iterable):
        raise DataError(f"texts is {texts!r:.60}. Pass several strings, such as a list.")
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            text = text.as_py() if hasattr(text, "as_py") else text  # of Arrow
            if not isinstance(text, str):
                raise DataError(f"texts[{row}] is {text!r:.60}; {_instead(text)}")
        yield text


def _instead(value: Any) -> str:
    if isinstance(value, bytes):
        return "decode it first, such as with .decode('utf-8')."
    # By name: NaN is not equal to itself, and pandas' NA does not say.
    if value is None or str(value) in ("nan", "<NA>", "NaT"):
        return "every text must be a string. Leave it out first, such as with dropna()."
    return "every text must be a string."
