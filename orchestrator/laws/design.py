"""Which run to make next: what is known of the boundary, and what one more run would teach per learner step.

A run at (k, η) collapses within its horizon with log-odds s·(log η + a·log k − u). What is known of (u, a, s) is kept
as weights on a grid of them, which is exact also where a likelihood has no maximum yet. What is wanted is log η_max(k)
= u − a·log k at some k. A run is worth the expected fall of its variance (Lindley 1956, Ann. Math. Stat. 27, 986–1005,
with the variance in place of the entropy) over its expected cost.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, log_expit

from orchestrator.laws.identified import Array
from orchestrator.laws.settle import Place

BEYOND = 8.0
"""The boundary may lie so many times outside of the range of η that is searched."""

EXPONENTS = (-0.5, 2.5)
"""Of the boundary in k; the paper has 1, tiny runs 0.4 to 0.8."""

STEEPNESS = (1.0, 30.0)
"""Log-odds per unit of log η: from 10 % to 90 % of runs within a factor of 80, or of 1.16."""

POINTS = (121, 31, 10)
"""Of the grid in u, a and s."""

NEGLIGIBLE = 1e-8
"""Points that are so much less likely than the best are not looked at again."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Runs of one cell that told whether they collapse within the horizon; fractions stand for runs under way."""

    k: int
    eta: float
    collapsed: float
    stable: float


@dataclass(frozen=True, eq=False, slots=True)
class Beliefs:
    """What is known of the boundary.

    Attributes:
        eta: The range that is searched.
        log_k: Middle of log k, at which u is taken.
        u: Centre of the boundary in log η, shape (points,).
        a: Its exponent in k, shape (points,).
        s: Its steepness, shape (points,).
        weight: Shape (points,), positive, of sum 1.
    """

    eta: tuple[float, float]
    log_k: float
    u: Array
    a: Array
    s: Array
    weight: Array

    @classmethod
    def before(cls, ks: Sequence[int], eta: tuple[float, float]) -> Beliefs:
        """Know nothing but the ranges: all (u, a, 1/s) are alike, so that steepness has to be shown.

        Args:
            ks: At which the boundary is wanted.
            eta: Smallest and largest learning rate that may be run.
        """
        low, high = (math.log(end) for end in eta)
        u = np.linspace(low - math.log(BEYOND), high + math.log(BEYOND), POINTS[0])
        a = np.linspace(*EXPONENTS, POINTS[1])
        s = np.geomspace(*STEEPNESS, POINTS[2])
        u, a, s = (axis.ravel() for axis in np.meshgrid(u, a, s, indexing="ij"))
        return cls(eta, float(np.mean(np.log(ks))), u, a, s, 1 / s / np.sum(1 / s))

    def after(self, seen: Iterable[Seen]) -> Beliefs:
        """Learn from cells."""
        log_weight = np.log(self.weight)
        for cell in seen:
            log_odds = self._log_odds(cell.k, cell.eta)
            log_weight += cell.collapsed * log_expit(log_odds) + cell.stable * log_expit(-log_odds)
        weight = np.exp(log_weight - log_weight.max())
        kept = weight > NEGLIGIBLE
        weight = weight[kept] / weight[kept].sum()
        return Beliefs(self.eta, self.log_k, self.u[kept], self.a[kept], self.s[kept], weight)

    def p_collapse(self, k: int, eta: float) -> float:
        """Expected share of runs that collapse within the horizon."""
        return float(self.weight @ expit(self._log_odds(k, eta)))

    def log_eta_max(self, k: int) -> tuple[float, float]:
        """Mean and standard deviation of log η_max(k)."""
        at = self._boundary(k)
        mean = float(self.weight @ at)
        return mean, math.sqrt(max(float(self.weight @ at**2) - mean**2, 0.0))

    def interval(self, k: int, confidence: float) -> tuple[float, float]:
        """Between which log η_max(k) lies, with as much probability left out on either side."""
        at = self._boundary(k)
        order = np.argsort(at)
        below = np.cumsum(self.weight[order])
        ends = np.searchsorted(below, [(1 - confidence) / 2, (1 + confidence) / 2])
        low, high = at[order[np.minimum(ends, len(at) - 1)]]
        return float(low), float(high)

    def p_outside(self, k: int) -> tuple[float, float]:
        """How likely the boundary at k lies below the range that is searched, and above it."""
        at = self._boundary(k)
        low, high = (math.log(end) for end in self.eta)
        return float(self.weight[at < low].sum()), float(self.weight[at > high].sum())

    def gains(self, places: Sequence[Place], ks: Sequence[int]) -> Array:
        """Expected fall of the summed variance of log η_max at ``ks`` by one run at each place, shape (places,)."""
        p = np.column_stack([expit(self._log_odds(k, eta)) for k, eta in places])
        collapses = self.weight @ p
        gains = np.zeros(len(places))
        for k in ks:
            at = self._boundary(k)
            at = at - self.weight @ at
            moved = (self.weight * at) @ p
            # the variance between the two outcomes' means is what the run takes off, on average
            gains += moved**2 / np.maximum(collapses * (1 - collapses), 1e-12)
        return gains

    def _boundary(self, k: int) -> Array:
        return self.u - self.a * (math.log(k) - self.log_k)

    def _log_odds(self, k: int, eta: float) -> Array:
        return self.s * (math.log(eta) - self._boundary(k))


def choose(
    beliefs: Beliefs, places: Sequence[Place], ks: Sequence[int], costs: Sequence[float], number: int
) -> list[int]:
    """Choose runs to make at once, each as if those before it had ended as often as is expected.

    Args:
        beliefs: What is known, runs under way included.
        places: Where a run may be made.
        ks: Where the boundary is not known well enough yet.
        costs: Of one run at each place, in learner steps; infinite where there is none left.
        number: How many.

    Returns:
        Places by number, a place twice for two of its runs.
    """
    chosen: list[int] = []
    for _ in range(number):
        worth = beliefs.gains(places, ks) / np.asarray(costs)
        best = int(np.argmax(worth))
        if not worth[best] > 0:
            break
        chosen.append(best)
        k, eta = places[best]
        p = beliefs.p_collapse(k, eta)
        beliefs = beliefs.after([Seen(k, eta, p, 1 - p)])
    return chosen
