"""Which values of a grid are drawn if there are too many, and how they are written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from orchestrator.laws.result import ModelLaws
from orchestrator.report.numbers import scientific


def evenly(values: Sequence[float], most: int) -> list[float]:
    """At most this many of the values, evenly spaced, with the first and the last."""
    places = np.unique(np.linspace(0, len(values) - 1, min(most, len(values))).round().astype(int))
    return [values[place] for place in places]


def labels(model: ModelLaws) -> dict[float, str]:
    """Each learning rate of a grid as text, with three digits or as many as keep them different (at most twelve)."""
    etas = sorted({cell.eta for cell in model.cells})
    for digits in range(3, 13):
        texts = {eta: scientific(float(f"{eta:.{digits - 1}e}")) for eta in etas}
        if len(set(texts.values())) == len(etas):
            break
    return texts


def which_shown(name: str, values: Sequence[float], most: int) -> str:
    """A sentence that says which values are drawn; empty if all are.

    Args:
        name: ``k`` or ``η``.
        values: All values of the grid, rising.
        most: As for `evenly`.
    """
    if len(values) <= most:
        return ""
    shown = evenly(values, most)
    texts = (str(value) if name == "k" else scientific(float(f"{value:.3g}")) for value in shown)
    return f"{len(shown)} of {len(values)} {name} are shown ({', '.join(texts)})."
