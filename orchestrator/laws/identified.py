"""Identified sets: all coefficients β with lower ≤ X·β ≤ upper, by linear programming.

Both laws are linear in logarithms and meet data that only bound them: brackets of η_max, intervals of T*.
Where a likelihood would run off to σ = 0, the set of coefficients that the bounds allow is the honest answer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from orchestrator.laws.estimates import Side

Array = NDArray[np.float64]

SLACK = 1e-12
"""Loosens bounds that touch, so that rounding does not empty a set of a single point."""

MARGIN_CAP = 1.0
"""Bound of the margin, so that data which bound β from one side only still give a bounded program."""


@dataclass(frozen=True, eq=False, slots=True)
class Band:
    """Bounds lower ≤ X·β ≤ upper.

    Attributes:
        design: X, shape (rows, coefficients).
        lower: Shape (rows,); −inf where there is no bound.
        upper: Shape (rows,); +inf where there is no bound.
    """

    design: Array
    lower: Array
    upper: Array

    def margin(self) -> float:
        """The largest s with lower + s ≤ X·β ≤ upper − s for some β, at most `MARGIN_CAP`.

        Negative when no β keeps all bounds: then −s is the least possible largest violation.
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
        """Smallest and largest value of a coefficient over the set; None where it is unbounded."""
        matrix, bounds = self._inequalities()
        cost = np.zeros(self.design.shape[1])
        ends: list[float | None] = []
        for sign in (1.0, -1.0):
            cost[coefficient] = sign
            solution = linprog(cost, A_ub=matrix, b_ub=bounds, bounds=(None, None)) if len(bounds) else None
            ends.append(float(sign * solution.fun) if solution is not None and solution.status == 0 else None)
        return ends[0], ends[1]

    def centre(self) -> Array | None:
        """A point of the set: each coefficient in turn the middle of what the ones before it leave.

        Unlike a vertex it does not depend on the solver or on the order of rows. None when unbounded.
        """
        band, values = self, []
        for _ in range(self.design.shape[1]):
            lo, hi = band.extent(0)
            if lo is None or hi is None:
                return None
            values.append((lo + hi) / 2)
            shift = band.design[:, 0] * values[-1]
            # a fixed middle is feasible by convexity; the slack keeps rounding from emptying the set
            band = Band(band.design[:, 1:], band.lower - shift, band.upper - shift).relaxed(SLACK)
        return np.array(values)

    def _inequalities(self) -> tuple[Array, Array]:
        """Rows of A·β ≤ b: sorted and without duplicates, so that the order of runs cannot matter."""
        below, above = np.isfinite(self.lower), np.isfinite(self.upper)
        matrix = np.vstack([self.design[above], -self.design[below]])
        bounds = np.concatenate([self.upper[above], -self.lower[below]])
        rows = np.unique(np.column_stack([matrix, bounds]), axis=0)
        return rows[:, :-1], rows[:, -1]
