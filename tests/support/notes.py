"""A reporter for tests."""

from collections.abc import Callable
from typing import Any


class Notes:
    """Keeps what it is told, and calls ``then`` after each line."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.then: Callable[[], object] = lambda: None

    def note(self, line: str) -> None:
        self.lines.append(line)
        self.then()

    def progress(self, *_: Any) -> None: ...

    def interval(self) -> float:
        return 1.0

    def close(self) -> None: ...
