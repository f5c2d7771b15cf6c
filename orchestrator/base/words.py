"""What messages of all rooms share."""

from __future__ import annotations

from collections.abc import Callable

Say = Callable[[str], None]
"""Takes a line for the user."""


def counted(number: int, noun: str) -> str:
    """A number and its noun, in the plural unless the number is 1: ``1 run``, ``2,000 runs``."""
    return f"{number:,} {plural(number, noun)}"


def plural(number: int, noun: str) -> str:
    """A noun, in the plural unless the number is 1."""
    return noun if number == 1 else f"{noun}s"
