"""The local law: brackets of η_max(k), and which exponents a of η_max ∝ k^−a pass through all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from orchestrator.laws.estimates import Estimate
from orchestrator.laws.forms import Bracket, Cell, LocalLaw
from orchestrator.laws.identified import SLACK, Band
from orchestrator.laws.regression import with_regression

TOLERANCE = 1e-9
"""Brackets that touch, as on a geometric grid, still separate; this absorbs rounding in their logarithms."""


def local_law(cells: Sequence[Cell]) -> tuple[LocalLaw, list[str]]:
    """Fit η_max(k) = C·k^−a to the cells of one group.

    Args:
        cells: By rising k, then η. Cells without a finished run say nothing.

    Returns:
        The law, and a sentence for everything that it could not tell.
    """
    brackets, warnings = [], []
    for k in sorted({cell.k for cell in cells if cell.n_runs}):
        bracket, complaints = _bracket([cell for cell in cells if cell.k == k and cell.n_runs])
        brackets.append(bracket)
        warnings += complaints
    exponent, separable, complaints = _exponent(brackets)
    constant, more = _constant(brackets)
    law = LocalLaw(exponent=exponent, constant=constant, brackets=tuple(brackets), separable=separable)
    return with_regression(law, cells), warnings + complaints + more


def _bracket(cells: Sequence[Cell]) -> tuple[Bracket, list[str]]:
    """Bracket η_max at one k; ``cells`` by rising η, each with a finished run.

    A cell with degraded runs is neither stable nor collapsing, so the bracket spans it.
    """
    k = cells[0].k
    collapsing = [cell.eta for cell in cells if cell.n_collapsed]
    lowest = min(collapsing, default=math.inf)
    unsure = min((cell.eta for cell in cells if cell.n_degraded), default=math.inf)
    below = [cell.eta for cell in cells if cell.eta < min(lowest, unsure)]
    above = [cell.eta for cell in cells if cell.eta > lowest and not cell.n_collapsed]
    warnings = []
    if not collapsing and not below:
        warnings.append(
            f"k={k} has neither a stable nor a collapsing cell: run eta below {cells[0].eta:g}, and longer."
        )
    elif not collapsing:
        warnings.append(
            f"k={k} has no collapsing cell: eta_max is bounded from below only; run eta above {cells[-1].eta:g}."
        )
    elif not below:
        warnings.append(
            f"k={k} has no stable cell: eta_max is bounded from above only; run eta below {cells[0].eta:g}."
        )
    if above:
        warnings.append(
            f"k={k} collapses at eta={lowest:g} but not at the larger eta={above[0]:g}: "
            "the bracket ends at the smaller one; run more seeds at both."
        )
    return Bracket(k, max(below, default=None), min(collapsing, default=None)), warnings


def _exponent(brackets: Sequence[Bracket]) -> tuple[Estimate, bool | None, list[str]]:
    """The set of a for which some C has log η_stable ≤ log C − a·log k ≤ log η_collapsed at every k."""
    if not brackets:
        return Estimate(), None, []
    if len(brackets) == 1:
        warning = f"Only k={brackets[0].k} was run: how eta_max depends on k cannot be told; run a second k."
        return Estimate(), None, [warning]
    design = np.array([[-math.log(bracket.k), 1.0] for bracket in brackets])
    lower = np.array([math.log(b.eta_stable) if b.eta_stable else -math.inf for b in brackets])
    upper = np.array([math.log(b.eta_collapsed) if b.eta_collapsed else math.inf for b in brackets])
    band = Band(design, lower, upper)
    margin = band.margin()
    if margin < -TOLERANCE:
        centre = band.relaxed(SLACK - margin).centre()
        warning = (
            "No power law eta_max = C*k^-a separates stable from collapsing cells; the best one misses a "
            f"bracket by a factor of {math.exp(-margin):.3g} in eta. "
            "Run more seeds at the ends of the brackets."
        )
        return Estimate(None if centre is None else float(centre[0])), False, [warning]
    lo, hi = band.relaxed(max(-margin, 0.0) + SLACK).extent(0)
    if lo is not None and hi is not None:
        return Estimate((lo + hi) / 2, identified_set=(lo, hi)), True, []
    sides = "from above" if lo is not None else "from below" if hi is not None else "from either side"
    warning = (
        f"The brackets do not bound the exponent a of eta_max ~ k^-a {sides}; "
        "give at least two k both a stable and a collapsing cell."
    )
    return Estimate(identified_set=None if lo is None and hi is None else (lo, hi)), True, [warning]


def _constant(brackets: Sequence[Bracket]) -> tuple[Estimate, list[str]]:
    """C_local under a = 1: at least every stable k·η, at most every collapsing one."""
    stable = [(b.k * b.eta_stable, b.k) for b in brackets if b.eta_stable]
    collapsing = [(b.k * b.eta_collapsed, b.k) for b in brackets if b.eta_collapsed]
    lo, k_lo = max(stable, default=(None, 0))
    hi, k_hi = min(collapsing, default=(None, 0))
    if lo is None or hi is None:
        return Estimate(identified_set=None if lo is None and hi is None else (lo, hi)), []
    if lo > hi * (1 + TOLERANCE):
        warning = (
            f"The brackets exclude a = 1: k*eta is stable up to {lo:.3g} at k={k_lo} but collapses from {hi:.3g} at "
            f"k={k_hi}. More seeds at these two cells would confirm it."
        )
        return Estimate(), [warning]
    return Estimate(math.sqrt(lo * hi), identified_set=(lo, hi)), []
