"""A fitted number with its ranges, and identified sets: all coefficients β with lower ≤ X·β ≤ upper.

Both laws are linear in logarithms, and brackets of η_max or intervals of T* only bound them. If a likelihood has its
maximum at σ = 0, the set of coefficients that the bounds allow is what can be said.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

Array = NDArray[np.float64]

Side = tuple[float | None, float | None]
"""Ends of a range; None if that side is open."""

ROUNDING = 1e-9
"""A value this close to an end counts as inside."""

LARGEST_LOG = 700.0
"""Largest logarithm whose exponential fits in double precision."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A fitted parameter; None is what the data do not identify.

    ``identified_set`` has all values that the data allow without a sampling model: the resolution of the grid, not a
    confidence interval. ``seed_factor`` says by which factor ``ci95`` is wider, in logarithms, because runs of one
    seed resemble each other; 1 if they do not, None if that was not computed.
    """

    estimate: float | None = None
    ci95: Side | None = None  # 95 % confidence interval
    identified_set: Side | None = None
    seed_factor: float | None = None

    def widened(self, factor: float) -> Estimate:
        """The same with a confidence interval that is wider by a factor, because seeds differ."""
        if self.estimate is None or self.ci95 is None:
            return self
        low, high = (None if end is None else self.estimate + factor * (end - self.estimate) for end in self.ci95)
        return replace(self, ci95=(low, high), seed_factor=factor)

    def exponential(self, shift: float = 0.0) -> Estimate:
        """The constant, if this plus ``shift`` is its logarithm."""

        def constant(log: float | None) -> float | None:
            return None if log is None else math.exp(min(log + shift, LARGEST_LOG))

        ci95, allowed = (ends and (constant(ends[0]), constant(ends[1])) for ends in (self.ci95, self.identified_set))
        return replace(self, estimate=constant(self.estimate), ci95=ci95, identified_set=allowed)


UNKNOWN = Estimate()
"""What the data do not identify."""


def contains(ends: Side, value: float) -> bool:
    """Whether a value lies in a range."""
    low, high = ends
    return (low is None or low <= value + ROUNDING) and (high is None or high >= value - ROUNDING)


SLACK = 1e-12
"""How far touching bounds are moved apart, so that rounding does not empty a set of one point."""

MARGIN_CAP = 1.0
"""Largest margin, so that the program is bounded even if the data bound β from one side only."""


@dataclass(frozen=True, eq=False, slots=True)
class Band:
    """Bounds lower ≤ X·β ≤ upper."""

    design: Array  # X, shape (rows, coefficients)
    lower: Array  # shape (rows,); −inf without a bound
    upper: Array  # shape (rows,); +inf without a bound

    def margin(self) -> float:
        """The largest s with lower + s ≤ X·β ≤ upper − s for some β, at most `MARGIN_CAP`.

        It is negative if no β keeps all bounds. Then −s is the smallest possible value of the largest violation.
        """
        matrix, bounds = self._inequalities()
        if not len(bounds):
            return MARGIN_CAP
        columns = np.hstack([matrix, np.ones((len(bounds), 1))])
        cost = np.append(np.zeros(matrix.shape[1]), -1.0)
        free = [(None, None)] * matrix.shape[1]
        solution = linprog(cost, A_ub=columns, b_ub=bounds, bounds=[*free, (None, MARGIN_CAP)])
        return float(-solution.fun)

    def relaxed(self, by: float) -> Band:
        """The band with every bound moved outwards."""
        return Band(self.design, self.lower - by, self.upper + by)

    def extent(self, coefficient: int) -> Side:
        """Smallest and largest value of a coefficient in the set; None if it is unbounded."""
        matrix, bounds = self._inequalities()
        cost = np.zeros(self.design.shape[1])
        ends: list[float | None] = []
        for sign in (1.0, -1.0):
            cost[coefficient] = sign
            solution = linprog(cost, A_ub=matrix, b_ub=bounds, bounds=(None, None)) if len(bounds) else None
            ends.append(float(sign * solution.fun) if solution is not None and solution.status == 0 else None)
        return ends[0], ends[1]

    def centre(self) -> Array | None:
        """A point of the set: each coefficient is the middle of what the coefficients before it leave.

        Unlike a vertex, it does not depend on the solver or on the order of rows. None if the set is unbounded.
        """
        band, values = self, []
        for _ in range(self.design.shape[1]):
            lo, hi = band.extent(0)
            if lo is None or hi is None:
                return None
            values.append((lo + hi) / 2)
            shift = band.design[:, 0] * values[-1]
            # the middle is feasible, because the set is convex; the slack absorbs rounding
            band = Band(band.design[:, 1:], band.lower - shift, band.upper - shift).relaxed(SLACK)
        return np.array(values)

    def _inequalities(self) -> tuple[Array, Array]:
        """Rows of A·β ≤ b, sorted and without duplicates, so that the order of runs does not matter."""
        below, above = np.isfinite(self.lower), np.isfinite(self.upper)
        matrix = np.vstack([self.design[above], -self.design[below]])
        bounds = np.concatenate([self.upper[above], -self.lower[below]])
        rows = np.unique(np.column_stack([matrix, bounds]), axis=0)
        return rows[:, :-1], rows[:, -1]
