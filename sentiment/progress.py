"""How a long computation tells how far it is, without knowing who listens."""

from typing import Protocol


class Progress(Protocol):
    """Called now and then with the work done so far.

    ``done`` and ``total`` count reviews (``total`` is None while unknown); ``figures`` are numbers
    worth showing, such as ``loss``.
    """

    def __call__(self, done: int, total: int | None = None, **figures: float) -> None: ...


def silent(done: int, total: int | None = None, **figures: float) -> None:
    """Listen to nothing."""
