"""How numbers are written in all outputs."""

from __future__ import annotations


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
