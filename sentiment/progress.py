"""How a long computation tells how far it is, without knowing who listens."""

from collections.abc import Callable
from typing import Protocol

Seen = Callable[[float], None]  # is told how much of a file, from 0 to 1, has been read


class Progress(Protocol):
    """Called now and then with the work done so far.

    ``done`` and ``total`` count reviews (``total`` is None while unknown); ``figures`` are numbers
    worth showing, such as ``loss``. A ``share`` among them, from 0 to 1, says how much of the input
    has been read, where nobody knows how many reviews it holds.
    """

    def __call__(self, done: int, total: int | None = None, **figures: float) -> None: ...


def silent(done: int, total: int | None = None, **figures: float) -> None:
    """Listen to nothing."""


def unseen(share: float) -> None:
    """Listen to nothing."""
