"""Which values of a grid are drawn, where not all of them can be told apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from orchestrator.report.verdicts import scientific


def evenly(values: Sequence[float], most: int) -> list[float]:
    """So many of the values, evenly apart, the first and the last among them."""
    places = np.unique(np.linspace(0, len(values) - 1, min(most, len(values))).round().astype(int))
    return [values[place] for place in places]


def said(name: str, values: Sequence[float], most: int) -> str:
    """A sentence that tells which are drawn; empty where all are.

    Args:
        name: ``k`` or ``η``.
        values: Of the grid, rising.
        most: Of `evenly`.
    """
    if len(values) <= most:
        return ""
    shown = evenly(values, most)
    texts = (str(value) if name == "k" else scientific(float(f"{value:.3g}")) for value in shown)
    return f"{len(shown)} of {len(values)} {name} are shown ({', '.join(texts)})."
