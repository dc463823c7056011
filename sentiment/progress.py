"""How a long computation reports its progress."""

from collections.abc import Callable
from typing import Protocol

OnRead = Callable[[float], None]  # called with the share of a file read so far, from 0 to 1


class Progress(Protocol):
    """Called from time to time with the work done so far.

    ``done`` and ``total`` count reviews; ``total`` is None while unknown. ``metrics`` are numbers
    such as ``loss``. A ``share`` among them, from 0 to 1, is how much of the input has been
    read, where the number of its reviews is unknown.
    """

    def __call__(self, done: int, total: int | None = None, **metrics: float) -> None: ...


def silent(done: int, total: int | None = None, **metrics: float) -> None:
    """Ignore progress."""


def ignore_share(share: float) -> None:
    """Ignore progress."""
