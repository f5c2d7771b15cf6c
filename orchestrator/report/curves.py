"""Fitted laws as curves to draw. Figures take numbers of a fit only from here.

Each function returns None if the fit does not identify the curve; the figure then shows the data alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from orchestrator.laws.estimates import Array, Side
from orchestrator.laws.result import HorizonFit, ModelLaws
from orchestrator.report.numbers import decimal

FAR = 20.0
"""Distance from a line, in natural logarithms, that is outside of every figure: unknown ends are drawn there."""


@dataclass(frozen=True, eq=False, slots=True)
class Line:
    """A line over x, with a name for the legend."""

    x: Array
    y: Array
    name: str


@dataclass(frozen=True, eq=False, slots=True)
class Ribbon:
    """An interval over x; an open side lies outside of every figure."""

    x: Array
    lower: Array
    upper: Array


def boundary(model: ModelLaws, ks: Array) -> Line | None:
    """The η at which half of the runs collapse, C·k^−a."""
    a, c = model.local.exponent.estimate, model.local.prefactor.estimate
    if a is None or c is None:
        return None
    return Line(ks, c * ks**-a, f"half collapse, ∝ k^{_signed(-a)}")


def boundary_interval(model: ModelLaws, points: int = 33) -> Ribbon | None:
    """The 95 % interval of the η at which half of the runs collapse, from the smallest k that was run to the largest.

    It is fitted at those k. Between them, the squared distance of each end from the line is interpolated in log k. For
    a straight line with normal errors that distance is a parabola, so the interpolation keeps the band's shape.
    """
    known = [(b.k, b.eta_half.estimate, *opened(b.eta_half.ci95)) for b in model.local.brackets
             if b.eta_half.ci95 and b.eta_half.estimate]  # fmt: skip
    if len(known) < 2:
        return None
    ks, halves, lower, upper = (np.array(column, dtype=float) for column in zip(*known, strict=True))
    at = np.unique(np.append(ks, np.geomspace(ks[0], ks[-1], points)))
    middle = np.interp(np.log(at), np.log(ks), np.log(halves))
    with np.errstate(divide="ignore"):
        below, above = (np.minimum(np.abs(np.log(end / halves)), FAR) for end in (lower, upper))
    below, above = (np.sqrt(PchipInterpolator(np.log(ks), distance**2)(np.log(at))) for distance in (below, above))
    return Ribbon(at, np.exp(middle - below), np.exp(middle + above))


def slope_one(model: ModelLaws, ks: Array) -> Line | None:
    """η = C/k, through the geometric mean of the brackets that have both sides."""
    middles = [b.k * math.sqrt(b.eta_stable * b.eta_collapsed) for b in model.local.brackets
               if b.eta_stable and b.eta_collapsed]  # fmt: skip
    if not middles:
        return None
    return Line(ks, float(np.exp(np.mean(np.log(middles)))) / ks, "slope −1")


def collapse_step(model: ModelLaws, etas: Array, k: int) -> Line | None:
    """The fitted T* = C·η^−b·k^−q at one k; with q = 0 if the data do not identify q."""
    fit, _ = horizon_fit(model)
    b, q, c = fit.eta_exponent.estimate, fit.k_exponent.estimate, fit.prefactor.estimate
    if b is None or c is None:
        return None
    return Line(etas, c * etas**-b * float(k) ** -(q or 0.0), f"k = {k}")


def collapse_law(model: ModelLaws) -> str | None:
    """The law behind `collapse_step`, and how it treats runs that did not collapse."""
    fit, taken = horizon_fit(model)
    b, q = fit.eta_exponent.estimate, fit.k_exponent.estimate
    if b is None or fit.prefactor.estimate is None:
        return None
    return f"T* ∝ η^{_signed(-b)}{'' if q is None else f'·k^{_signed(-q)}'}, {taken}"


def horizon_fit(model: ModelLaws) -> tuple[HorizonFit, str]:
    """The fit of T* that figures show, and how it treats runs that did not collapse."""
    if model.joint.horizon.eta_exponent.estimate is not None:
        return model.joint.horizon, "if some runs are immune"
    return model.horizon.censored, "if all runs collapse in the end"


def over(values: Sequence[float], points: int = 33) -> Array:
    """Places on a log axis, from a little below the smallest value to a little above the largest."""
    return np.geomspace(min(values) / 1.5, max(values) * 1.5, points)


def opened(ends: Side) -> tuple[float, float]:
    """The ends of a range of positive numbers; an open side is 0 or infinite."""
    lo, hi = ends
    return 0.0 if lo is None else lo, math.inf if hi is None else hi


def _signed(exponent: float) -> str:
    return decimal(exponent).replace("-", "−")
