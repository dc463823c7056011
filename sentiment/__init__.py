"""Sentiment of reviews: data, text, model, training and the ``Classifier``."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentiment.classifier import Classifier

__version__ = "0.1.0"
__all__ = ["Classifier", "__version__"]


def __getattr__(name: str) -> Any:
    # Load PyTorch on first use of the Classifier, not on every import.
    if name == "Classifier":
        from sentiment.classifier import Classifier

        return Classifier
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
