"""Fitted laws as curves to draw: the one place where figures take numbers from a fit.

Each function gives None where the fit does not say, so that a figure shows the data alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from orchestrator.laws.forms import Estimate, HorizonFit, ModelLaws
from orchestrator.laws.identified import SLACK, Array, Band


@dataclass(frozen=True, eq=False, slots=True)
class Curve:
    """A line over x, and how well it is known.

    Attributes:
        x: Where it is drawn.
        line: Its height.
        lower: Lower edge of its band; 0 where nothing bounds it. None without a band.
        upper: Upper edge; infinite where nothing bounds it.
        name: What the line is, in a few words.
        band: What the band is, in a few words; empty without one.
    """

    x: Array
    line: Array
    lower: Array | None
    upper: Array | None
    name: str
    band: str = ""


@dataclass(frozen=True, slots=True)
class Level:
    """A constant and its interval; a side that nothing bounds is 0 or infinite."""

    value: float
    lower: float
    upper: float
    band: str


def boundary(model: ModelLaws, ks: Array) -> Curve | None:
    """The fitted η_max(k) = C·k^−a, with all power laws that pass through every bracket as its band."""
    brackets = [b for b in model.local.brackets if b.eta_stable or b.eta_collapsed]
    if model.local.exponent.estimate is None or len(brackets) < 2:
        return None
    log_k = np.log([bracket.k for bracket in brackets])
    lower = np.array([math.log(b.eta_stable) if b.eta_stable else -math.inf for b in brackets])
    upper = np.array([math.log(b.eta_collapsed) if b.eta_collapsed else math.inf for b in brackets])
    margin = Band(np.column_stack([-log_k, np.ones(len(log_k))]), lower, upper).margin()

    def through(at: float) -> Band:
        """The power laws by their exponent and their height at one k."""
        design = np.column_stack([at - log_k, np.ones(len(log_k))])
        return Band(design, lower, upper).relaxed(max(-margin, 0.0) + SLACK)

    centre = through(0.0).centre()
    if centre is None:
        return None
    line = np.exp(centre[1] - centre[0] * np.log(ks))
    name = f"fit, slope −{centre[0]:.2f}"
    if not model.local.separable:
        return Curve(ks, line, None, None, name)
    sides = [through(math.log(k)).extent(1) for k in ks]
    floor = np.array([0.0 if lo is None else math.exp(lo) for lo, _ in sides])
    ceiling = np.array([math.inf if hi is None else math.exp(hi) for _, hi in sides])
    return Curve(ks, line, floor, ceiling, name, "through all brackets")


def slope_one(model: ModelLaws, ks: Array) -> Curve | None:
    """η = C/k, through the geometric mean of the brackets that have both sides."""
    middles = [b.k * math.sqrt(b.eta_stable * b.eta_collapsed) for b in model.local.brackets
               if b.eta_stable and b.eta_collapsed]  # fmt: skip
    if not middles:
        return None
    return Curve(ks, float(np.exp(np.mean(np.log(middles)))) / ks, None, None, "slope −1")


def collapse_step(model: ModelLaws, etas: Array, k: int) -> Curve | None:
    """The fitted T* = C·η^−b·k^−q at one k; without q where the fit could not tell it."""
    fit = horizon_fit(model)
    b, q, c = fit.eta_exponent.estimate, fit.k_exponent.estimate, fit.prefactor.estimate
    if b is None or c is None:
        return None
    name = f"fit, T* ∝ η^−{b:.2f}" if b >= 0 else f"fit, T* ∝ η^{-b:.2f}"
    return Curve(etas, c * etas**-b * float(k) ** -(q or 0.0), None, None, name)


def horizon_constant(model: ModelLaws) -> Level | None:
    """C_horizon = η·T*."""
    constant = horizon_fit(model).constant
    if constant.estimate is None:
        return None
    (lower, upper), band = _interval(constant)
    return Level(constant.estimate, lower, upper, band)


def horizon_fit(model: ModelLaws) -> HorizonFit:
    """The reading of T* that figures show: with the runs that outlived their last step, where there are any."""
    return model.horizon.censored


def over(values: Sequence[float], points: int = 33) -> Array:
    """So many places on a log axis, from a little below the smallest value to a little above the largest."""
    margin = 1.5
    return np.geomspace(min(values) / margin, max(values) * margin, points)


def _interval(value: Estimate) -> tuple[tuple[float, float], str]:
    ends, band = value.ci95, "95 % interval"
    if ends is None:
        ends, band = value.identified_set, "all that the intervals of T* allow"
    lo, hi = ends or (None, None)
    return (0.0 if lo is None else lo, math.inf if hi is None else hi), band if ends else ""
