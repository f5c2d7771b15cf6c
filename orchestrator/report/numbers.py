"""How numbers are written in all outputs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta


def scientific(number: float) -> str:
    """A learning rate as people write it, 2.5e-4, with all its digits."""
    mantissa, exponent = f"{number:.11e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(exponent)}"


def short(number: float) -> str:
    """Three significant digits, below 1e-3 with an exponent."""
    if 0 < abs(number) < 1e-3:
        return scientific(float(f"{number:.2e}"))
    return f"{number:.3g}".replace("e-0", "e-").replace("e+0", "e+")


def decimal(number: float) -> str:
    """Two decimals, for exponents; never ``-0.00``."""
    return f"{round(number, 2) + 0.0:.2f}"


def duration(seconds: float) -> str:
    """Hours, minutes and whole seconds, 0:01:30."""
    return str(timedelta(seconds=round(seconds)))


def range_text(ends: tuple[float | None, float | None] | None, text: Callable[[float], str]) -> str:
    """A range, with ≥ or ≤ if one side is open; empty if both are, or if there is no range."""
    lo, hi = (None if end is None else text(end) for end in ends or (None, None))
    return f"{lo} to {hi}" if lo and hi else f"≥ {lo}" if lo else f"≤ {hi}" if hi else ""
