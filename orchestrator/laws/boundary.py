"""The local law: the brackets of η_max(k), and the exponents a of η_max ∝ k^−a that pass through all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pandas as pd
from scipy.special import expit, log_expit

from orchestrator.laws.estimates import SLACK, Array, Band, Estimate
from orchestrator.laws.gaps import Coordinates, Gap, Tried
from orchestrator.laws.likelihood import information_penalty, odds_information
from orchestrator.laws.maximum import ODDS, Held, Restriction, maximise
from orchestrator.laws.profile import ProfiledFit
from orchestrator.laws.result import Bracket, LocalLaw, MeasuredCell

START = np.array([0.0, 1.0, 0.0])
"""Where the regression's search begins: half of the runs collapse in the middle of the grid, whatever k."""

TOLERANCE = 1e-9
"""Brackets that only touch, as on a geometric grid, count as separate; this absorbs rounding of their logarithms."""


def local_law(cells: Sequence[MeasuredCell], finished: pd.DataFrame, tried: Tried) -> tuple[LocalLaw, list[Gap]]:
    """Fit η_max(k) = C·k^−a to the cells of one group, and say what the data do not identify.

    The cells are by rising k, then η; those without a finished run are ignored. They count the runs of ``finished``.
    """
    brackets, gaps = [], []
    for k in sorted({cell.k for cell in cells if cell.n_runs}):
        bracket, found = _bracket([cell for cell in cells if cell.k == k and cell.n_runs], tried)
        brackets.append(bracket)
        gaps += found
    exponent, separable, of_exponent = _exponent(brackets, tried)
    constant, of_constant = _constant(brackets, tried)
    law = LocalLaw(exponent=exponent, constant=constant, brackets=tuple(brackets), separable=separable)
    return _with_regression(law, cells, finished), gaps + of_exponent + of_constant


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


def bracket_ends(brackets: Sequence[Bracket]) -> list[Coordinates]:
    """The cells on both sides of the boundary."""
    return [(b.k, eta) for b in brackets for eta in (b.eta_stable, b.eta_collapsed) if eta is not None]


def _exponent(brackets: Sequence[Bracket], tried: Tried) -> tuple[Estimate, bool | None, list[Gap]]:
    """All a for which some C satisfies log η_stable ≤ log C − a·log k ≤ log η_collapsed at every k."""
    if not brackets:
        return Estimate(), None, []
    if len(brackets) == 1:
        text = f"Only k={brackets[0].k} was run, so the dependence of eta_max on k is not known."
        return Estimate(), None, [Gap(text, tried.another_k(eta for _, eta in bracket_ends(brackets)))]
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
        found = Estimate(None if centre is None else float(centre[0]))
        return found, False, [Gap(text, tried.again(bracket_ends(brackets)))]
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


def _with_regression(law: LocalLaw, cells: Sequence[MeasuredCell], finished: pd.DataFrame) -> LocalLaw:
    """Add the regression's estimates and intervals to brackets and identified sets, if the cells identify them."""
    seen = [cell for cell in cells if cell.n_runs]
    collapsed, runs = sum(cell.n_collapsed for cell in seen), sum(cell.n_runs for cell in seen)
    if not 0 < collapsed < runs or len({cell.eta for cell in seen}) < 2:
        return law
    trials, centre = _trials(seen, finished)
    several_k = len({cell.k for cell in seen}) > 1 and np.linalg.matrix_rank(trials.design) == 3
    held = Held() if several_k else Held(a=0.0)
    found = maximise(trials, Restriction.hold(trials.names, held), [START])
    if found is None:
        return law
    free = ProfiledFit(trials, centre, held, found)
    if not free.grows:
        return law
    brackets = tuple(replace(b, eta_half=free.boundary_at(b.k)) for b in law.brackets)
    law = replace(law, brackets=brackets, width=free.width)
    if not several_k:
        return law
    inverse = free.inverse if free.inverse and free.inverse.grows else None
    constant = inverse.boundary_at(1) if inverse else Estimate()
    return replace(
        law,
        exponent=replace(free.exponent(), identified_set=law.exponent.identified_set),
        constant=replace(constant, identified_set=law.constant.identified_set),
        prefactor=free.boundary_at(1),
        p_exponent_is_1=free.p_of(inverse),
    )


def _trials(cells: Sequence[MeasuredCell], finished: pd.DataFrame) -> tuple[Trials, tuple[float, float]]:
    """Runs by seed and cell, and what was subtracted from log η and log k."""
    log_eta, log_k = (np.log([getattr(cell, name) for cell in cells]) for name in ("eta", "k"))
    at_eta, at_k = float(log_eta.mean()), float(log_k.mean())
    design = np.column_stack([np.ones(len(cells)), log_eta - at_eta, log_k - at_k])
    by_seed = finished.groupby(["seed", "k", "eta"], sort=True)["collapsed"]
    columns = pd.MultiIndex.from_tuples([(cell.k, cell.eta) for cell in cells])
    collapsed, runs = (
        counts.unstack(["k", "eta"]).reindex(columns=columns).fillna(0).to_numpy(dtype=float)
        for counts in (by_seed.sum(), by_seed.size())
    )
    return Trials(design, collapsed, runs), (at_eta, at_k)


@dataclass(frozen=True, eq=False)
class Trials:
    """Runs by cell, as a `Likelihood` of `ODDS`."""

    design: Array  # columns 1, log η, log k, shape (cells, 3)
    collapsed: Array  # runs that collapsed, shape (seeds, cells)
    runs: Array  # shape (seeds, cells)

    names: ClassVar[tuple[str, ...]] = ODDS
    precision: ClassVar[Mapping[str, float]] = {"ftol": 1e-13, "gtol": 1e-7}

    def penalised(self, parameters: Array) -> tuple[float, Array]:
        """The penalised log-likelihood and its gradient, shape (3,)."""
        u, collapsed, runs = self.design @ parameters, self.collapsed.sum(axis=0), self.runs.sum(axis=0)
        penalty, by_parameter = information_penalty(self.design, runs, parameters)
        value = collapsed @ log_expit(u) + (runs - collapsed) @ log_expit(-u) + penalty
        return float(value), by_parameter + self.design.T @ (collapsed - runs * expit(u))

    def scores(self, parameters: Array) -> Array:
        """Gradients of the log-likelihood, without its penalty, shape (seeds, 3)."""
        return np.asarray((self.collapsed - self.runs * expit(self.design @ parameters)) @ self.design)

    def information(self, parameters: Array) -> Array:
        """Information of the log-likelihood, without its penalty, shape (3, 3)."""
        return odds_information(self.design, self.runs.sum(axis=0), parameters)
