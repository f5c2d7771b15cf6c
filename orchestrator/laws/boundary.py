"""The local law: the brackets of η_max(k), and the exponents a of η_max ∝ k^−a that pass through all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from orchestrator.laws.estimates import Estimate
from orchestrator.laws.forms import Bracket, LocalLaw, MeasuredCell
from orchestrator.laws.identified import SLACK, Band
from orchestrator.laws.regression import with_regression
from orchestrator.laws.settle import Gap, Place, Tried

TOLERANCE = 1e-9
"""Brackets that only touch, as on a geometric grid, count as separate; this absorbs rounding of their logarithms."""


def local_law(cells: Sequence[MeasuredCell], finished: pd.DataFrame, tried: Tried) -> tuple[LocalLaw, list[Gap]]:
    """Fit η_max(k) = C·k^−a to the cells of one group.

    Args:
        cells: By rising k, then η. Cells without a finished run are ignored.
        finished: Evidence that the cells count.
        tried: What was run.

    Returns:
        The law, and what the data do not identify.
    """
    brackets, gaps = [], []
    for k in sorted({cell.k for cell in cells if cell.n_runs}):
        bracket, found = _bracket([cell for cell in cells if cell.k == k and cell.n_runs], tried)
        brackets.append(bracket)
        gaps += found
    exponent, separable, of_exponent = _exponent(brackets, tried)
    constant, of_constant = _constant(brackets, tried)
    law = LocalLaw(exponent=exponent, constant=constant, brackets=tuple(brackets), separable=separable)
    return with_regression(law, cells, finished), gaps + of_exponent + of_constant


def _bracket(cells: Sequence[MeasuredCell], tried: Tried) -> tuple[Bracket, list[Gap]]:
    """Bracket η_max at one k, given its cells by rising η, each with a finished run.

    A cell with degraded runs is neither stable nor collapsing, so it lies inside the bracket.
    """
    k = cells[0].k
    collapsing = [cell.eta for cell in cells if cell.n_collapsed]
    lowest = min(collapsing, default=math.inf)
    unsure = min((cell.eta for cell in cells if cell.n_degraded), default=math.inf)
    below = [cell.eta for cell in cells if cell.eta < min(lowest, unsure)]
    above = [cell.eta for cell in cells if cell.eta > lowest and not cell.n_collapsed]
    gaps = []
    if not collapsing and not below:
        runs = (*tried.below([k]), *tried.longer([(k, cells[0].eta)]))
        gaps.append(Gap(f"k={k} has neither a stable nor a collapsing cell.", runs))
    elif not collapsing:
        gaps.append(Gap(f"k={k} has no collapsing cell, so eta_max has no upper bound.", tried.above([k])))
    elif not below:
        gaps.append(Gap(f"k={k} has no stable cell, so eta_max has no lower bound.", tried.below([k])))
    if above:
        text = f"k={k} collapses at eta={lowest:g} but not at the larger eta={above[0]:g}: the boundary is not sharp."
        gaps.append(Gap(text, tried.again([(k, lowest), (k, above[0])])))
    return Bracket(k, max(below, default=None), min(collapsing, default=None)), gaps


def bracket_ends(brackets: Sequence[Bracket]) -> list[Place]:
    """The cells on both sides of the boundary."""
    return [(b.k, eta) for b in brackets for eta in (b.eta_stable, b.eta_collapsed) if eta is not None]


def _exponent(brackets: Sequence[Bracket], tried: Tried) -> tuple[Estimate, bool | None, list[Gap]]:
    """All a for which some C satisfies log η_stable ≤ log C − a·log k ≤ log η_collapsed at every k."""
    if not brackets:
        return Estimate(), None, []
    if len(brackets) == 1:
        ends = [eta for _, eta in bracket_ends(brackets)]
        gap = Gap(
            f"Only k={brackets[0].k} was run, so the dependence of eta_max on k is not known.", tried.another_k(ends)
        )
        return Estimate(), None, [gap]
    design = np.array([[-math.log(bracket.k), 1.0] for bracket in brackets])
    lower = np.array([math.log(b.eta_stable) if b.eta_stable else -math.inf for b in brackets])
    upper = np.array([math.log(b.eta_collapsed) if b.eta_collapsed else math.inf for b in brackets])
    band = Band(design, lower, upper)
    margin = band.margin()
    if margin < -TOLERANCE:
        centre = band.relaxed(SLACK - margin).centre()
        text = (
            "No power law eta_max = C*k^-a separates stable from collapsing cells. The best one misses a bracket by "
            f"a factor of {math.exp(-margin):.3g} in eta. More seeds at the ends show whether that is chance."
        )
        gap = Gap(text, tried.again(bracket_ends(brackets)))
        return Estimate(None if centre is None else float(centre[0])), False, [gap]
    lo, hi = band.relaxed(max(-margin, 0.0) + SLACK).extent(0)
    if lo is not None and hi is not None:
        return Estimate((lo + hi) / 2, identified_set=(lo, hi)), True, []
    sides = "from above" if lo is not None else "from below" if hi is not None else "from either side"
    open_k = {side: [b.k for b in brackets if getattr(b, side) is None] for side in ("eta_stable", "eta_collapsed")}
    gap = Gap(
        f"The brackets do not bound the exponent a of eta_max ~ k^-a {sides}. At least two k need both a stable and a "
        "collapsing cell.",
        (*tried.below(open_k["eta_stable"]), *tried.above(open_k["eta_collapsed"])),
    )
    return Estimate(identified_set=None if lo is None and hi is None else (lo, hi)), True, [gap]


def _constant(brackets: Sequence[Bracket], tried: Tried) -> tuple[Estimate, list[Gap]]:
    """C_local under a = 1: between the largest stable k·η and the smallest collapsing one."""
    stable = [(b.k * b.eta_stable, b.k) for b in brackets if b.eta_stable]
    collapsing = [(b.k * b.eta_collapsed, b.k) for b in brackets if b.eta_collapsed]
    lo, k_lo = max(stable, default=(None, 0))
    hi, k_hi = min(collapsing, default=(None, 0))
    if lo is None or hi is None:
        return Estimate(identified_set=None if lo is None and hi is None else (lo, hi)), []
    if lo > hi * (1 + TOLERANCE):
        text = (
            f"The brackets exclude a = 1: k*eta is stable up to {lo:.3g} at k={k_lo} but collapses from {hi:.3g} on at "
            f"k={k_hi}. More seeds there would confirm it."
        )
        places = [(b.k, b.eta_stable) for b in brackets if b.k == k_lo and b.eta_stable]
        places += [(b.k, b.eta_collapsed) for b in brackets if b.k == k_hi and b.eta_collapsed]
        return Estimate(), [Gap(text, tried.again(places))]
    return Estimate(math.sqrt(lo * hi), identified_set=(lo, hi)), []
