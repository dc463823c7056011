"""The models to compare with: fastText, and TF-IDF with logistic regression.

Both use the pipeline's tokens and choose their settings on the validation reviews.
"""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

Labels = npt.NDArray[np.uint8]
Tokens = list[list[str]]

STRENGTHS = (1.0, 3.0, 10.0, 30.0)  # C of the logistic regression
RATES = (0.1, 0.5)  # learning rates of fastText


@dataclass(frozen=True)
class Split:
    """Reviews as lists of tokens, with labels 0 or 1 of shape (reviews,)."""

    tokens: Tokens
    labels: Labels

    @classmethod
    def load(cls, shards: Sequence[Path]) -> "Split":
        """Read shards of the stage ``tokenize``."""
        tables = [pq.read_table(path, columns=["tokens", "label"]) for path in shards]
        tokens = [words for table in tables for words in table["tokens"].to_pylist()]
        labels = np.concatenate([table["label"].to_numpy() for table in tables])
        return cls(tokens, labels.astype(np.uint8))


@dataclass(frozen=True)
class Result:
    """A model's predictions for the test reviews, and their cost.

    ``predicted`` is 0 or 1, shape (reviews,); ``seconds`` is the training time with the chosen
    settings; ``rate`` is in test reviews per second; ``size`` in bytes on disk.
    """

    name: str
    chosen: str
    validation_accuracy: float
    predicted: Labels = field(repr=False)
    seconds: float
    rate: float
    size: int


@dataclass(frozen=True)
class Trained:
    """A model trained with one of the candidate settings."""

    setting: str
    predict: Callable[[Tokens], Labels]
    seconds: float
    size: Callable[[], int]


def tfidf(train: Split) -> list[Trained]:
    """Train a logistic regression on TF-IDF of words and bigrams for each strength."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    started = time.perf_counter()
    # The texts are tokens already: the vectorizer only joins them into bigrams.
    features = TfidfVectorizer(
        ngram_range=(1, 2), min_df=2, sublinear_tf=True, tokenizer=list, preprocessor=list,
        token_pattern=None, lowercase=False, dtype=np.float32,
    )  # fmt: skip
    inputs = features.fit_transform(train.tokens)
    preparing = time.perf_counter() - started

    def fit(strength: float) -> Trained:
        started = time.perf_counter()
        model = LogisticRegression(C=strength, max_iter=1000).fit(inputs, train.labels)

        def predict(texts: Tokens) -> Labels:
            return np.asarray(model.predict(features.transform(texts)), np.uint8)

        def size() -> int:  # weights, idf, and the text of each n-gram
            words = sum(len(word.encode()) for word in features.vocabulary_)
            return int(words + model.coef_.nbytes + features.idf_.nbytes)

        return Trained(f"C {strength:g}", predict, preparing + time.perf_counter() - started, size)

    return [fit(strength) for strength in STRENGTHS]


def fasttext(train: Split) -> list[Trained]:
    """Train fastText with word bigrams, five epochs, for each learning rate.

    Its threads race, so the highest rate diverges now and then; it is left out then.
    """
    import fasttext as library

    def fit(rate: float, path: str) -> Trained | None:
        started = time.perf_counter()
        try:
            model: Any = library.train_supervised(
                input=path,
                lr=rate,
                epoch=5,
                wordNgrams=2,
                thread=os.cpu_count() or 1,
                seed=1,
                verbose=0,
            )
        except RuntimeError as error:
            if rate == min(RATES) or "NaN" not in str(error):
                raise
            return None
        seconds = time.perf_counter() - started

        def predict(texts: Tokens) -> Labels:
            found, _ = model.predict([" ".join(words) for words in texts])
            return np.array([labels[0] == "__label__1" for labels in found], np.uint8)

        def size() -> int:
            with tempfile.NamedTemporaryFile(suffix=".bin") as file:
                model.save_model(file.name)
                return Path(file.name).stat().st_size

        return Trained(f"learning rate {rate:g}", predict, seconds, size)

    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        for words, label in zip(train.tokens, train.labels.tolist(), strict=True):
            file.write(f"__label__{label} {' '.join(words)}\n")
        file.flush()
        return [model for rate in RATES if (model := fit(rate, file.name))]


def choose(name: str, models: Sequence[Trained], validation: Split, test: Split) -> Result:
    """Choose the best model on validation; only that one predicts the test reviews."""
    scores = [float((m.predict(validation.tokens) == validation.labels).mean()) for m in models]
    best = models[int(np.argmax(scores))]
    started = time.perf_counter()
    predicted = best.predict(test.tokens)
    rate = len(test.tokens) / (time.perf_counter() - started)
    return Result(name, best.setting, max(scores), predicted, best.seconds, rate, best.size())
