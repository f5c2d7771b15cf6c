"""The largest learning rate that the fitted laws call safe, which law limits it, and how far it extrapolates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from scipy.optimize import brentq

from orchestrator.laws.estimates import Estimate, Side
from orchestrator.laws.gaps import Tried
from orchestrator.laws.horizon import ALL_LATE, about_terms, held_for, identified_terms, joint_fit
from orchestrator.laws.result import MeasuredCell
from orchestrator.laws.survival import TimeFit, fit


@dataclass(frozen=True, slots=True)
class Advice:
    """The largest safe η of one group of runs, at one k and one horizon."""

    k: float
    horizon: int
    eta: Estimate  # the smaller of the two limits
    binds: str  # which limit that is, ``local`` or ``horizon``
    local: Estimate  # limit of the local law: the η at which half of the runs are immune
    late: Estimate  # limit of the horizon law: half of the susceptible runs collapse after the horizon
    paper: float | None  # min(C_local/k, C_horizon/T), with the paper's exponents; without an interval
    p_collapse: float  # expected share of runs that collapse at ``eta``; not 0, as half of them cross a law's line
    risk: float  # the share of runs that may collapse
    eta_at_risk: float | None  # the largest η at which that share is expected to collapse; without an interval
    nearest: MeasuredCell  # in log η and log k
    notes: tuple[str, ...]  # how far this extrapolates and what is not known, in sentences


def advise(
    rows: pd.DataFrame, cells: Sequence[MeasuredCell], k: float, horizon: int, risk: float = 0.05
) -> Advice | str:
    """Find the largest safe η, or a sentence that says why there is none and which runs to make.

    ``rows`` is the evidence of one group that bounds T*. ``k`` and ``horizon`` (learner steps) are at least 1.
    """
    collapsed = rows[rows["collapsed"]]
    terms = identified_terms(collapsed)
    gaps = [str(gap) for gap in about_terms(collapsed, Tried.of(rows))]
    late_fit = fit(rows, immune=False, values=held_for(terms)) if "eta" in terms else None
    if late_fit is None:
        return gaps[0] if gaps else "T* could not be fitted. Run more seeds of the cells that collapse."
    mixed, why = joint_fit(rows, terms)
    if mixed is None or late_fit.aic <= mixed.aic:
        return _advice(late_fit, cells, k, horizon, risk, [why or ALL_LATE, *gaps])
    return _advice(mixed, cells, k, horizon, risk, [])


def _advice(
    found: TimeFit, cells: Sequence[MeasuredCell], k: float, horizon: int, risk: float, notes: list[str]
) -> Advice:
    immune = found.likelihood.immune
    local, late = found.boundary_at(k) if immune else Estimate(), found.eta_for(k, horizon)
    limits = {"local": local, "horizon": late}
    known = {name: limit.estimate for name, limit in limits.items() if limit.estimate is not None}
    binds = min(known, key=lambda name: known[name])
    eta = Estimate(known[binds], _smaller([limit.ci95 for limit in limits.values() if limit.ci95]))
    measured = [cell for cell in cells if cell.n_runs]
    return Advice(
        k=k,
        horizon=horizon,
        eta=eta,
        binds=binds,
        local=local,
        late=late,
        paper=_paper(found, k, horizon),
        p_collapse=found.p_collapse(k, known[binds], horizon),
        risk=risk,
        eta_at_risk=_eta_at_risk(found, k, horizon, risk, known[binds]),
        nearest=min(measured, key=lambda cell: math.hypot(math.log(cell.k / k), math.log(cell.eta / known[binds]))),
        notes=(*_reach(measured, k, known[binds], horizon), *notes),
    )


def _smaller(sides: Sequence[Side]) -> Side | None:
    """The interval of the smaller of several numbers, given the interval of each."""
    if not sides:
        return None
    lows, highs = ([end for end in ends if end is not None] for ends in zip(*sides, strict=True))
    return min(lows) if len(lows) == len(sides) else None, min(highs, default=None)


def _paper(found: TimeFit, k: float, horizon: int) -> float | None:
    local = found.inverse if found.likelihood.immune else None
    by_local = local.c_local_point / k if local and local.grows else math.inf
    return min(by_local, found.ballistic.c_horizon_point / horizon) if found.ballistic else None


def _eta_at_risk(found: TimeFit, k: float, horizon: int, risk: float, limit: float) -> float | None:
    """The η at which the expected share equals the risk; None if it is not within a factor of 1,000 of the limit."""

    def excess(log_eta: float) -> float:
        return found.p_collapse(k, math.exp(log_eta), horizon) - risk

    low, high = math.log(limit / 1e3), math.log(limit * 1e3)
    if excess(low) > 0 or excess(high) < 0:
        return None
    return math.exp(brentq(excess, low, high))


def _reach(measured: Sequence[MeasuredCell], k: float, eta: float, horizon: int) -> list[str]:
    """How far the advice lies outside the measured cells."""
    sentences = []
    for name, axis, asked in (("k", "k", k), ("eta", "eta", eta), ("the horizon", "horizon", float(horizon))):
        seen = [float(getattr(cell, axis)) for cell in measured]
        low, high = min(seen), max(seen)
        if asked > high:
            how_far = f"{asked / high:.3g} above the largest measured value, {high:g}"
        elif asked < low and name != "the horizon":
            how_far = f"{low / asked:.3g} below the smallest measured value, {low:g}"
        else:
            continue
        sentences.append(f"This extrapolates: {name} = {asked:.4g} is a factor of {how_far}.")
    return sentences
