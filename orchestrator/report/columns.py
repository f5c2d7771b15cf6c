"""Wide tables as several narrow ones, one below the other."""

from __future__ import annotations

from collections.abc import Sequence

GAP = 3
"""Blank columns that rich leaves between two columns of a table."""


def blocks(items: Sequence[float], at_most: int) -> list[Sequence[float]]:
    """Split into as few blocks as possible, all of about the same size."""
    count = -(-len(items) // at_most)
    size = -(-len(items) // count) if count else 1
    return [items[start : start + size] for start in range(0, len(items), size)]
