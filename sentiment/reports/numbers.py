"""Figures as a report writes them."""

from collections.abc import Sequence

NO_VALUE = "—"
# With at least this many reviews, the second decimal of a percentage is more than noise.
MANY_ROWS = 10_000


def decimals_of(rows: int) -> int:
    return 2 if rows >= MANY_ROWS else 1


def percent(share: float | None, decimals: int) -> str:
    return NO_VALUE if share is None else f"{share * 100:.{decimals}f}\N{NO-BREAK SPACE}%"


def interval(ends: Sequence[float], decimals: int) -> str:
    return f"{ends[0] * 100:.{decimals}f}–{percent(ends[1], decimals)}"


def number(value: float | None) -> str:
    return NO_VALUE if value is None else f"{value:.4f}"


def p_value(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"
