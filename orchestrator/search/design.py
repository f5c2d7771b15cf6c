"""Which run to make next: what is known of the boundary, and what one more run would teach per learner step.

A run at (k, η) collapses within its horizon with log-odds s·(log η − b_k). The boundaries b_k = log η_max(k) lie around
a power law, b_k ~ N(u − a·log k, τ²): no law is exact, and where runs at one k say otherwise, they are believed. What
is known of (u, a, s, τ) is kept as weights on a grid of them, and of each b_k beside them on a grid of its own:
given (u, a, s, τ) runs at different k know nothing of each other. That is exact, up to the grids, also where a
likelihood has no maximum yet.

What is wanted is linear in the boundaries: one of them, or the exponent a or log C of the line η_max = C·k^−a through
them all (least squares). A run is worth the expected fall of its variance (Lindley 1956, Ann. Math. Stat. 27, 986–1005,
with the variance in place of the entropy) over its expected cost.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit, ndtri

from orchestrator.laws.identified import Array
from orchestrator.laws.settle import Place
from orchestrator.search.deviations import DEVIATIONS, SMALLEST, AtK, kernels_of, unseen

BEYOND = 8.0
"""The boundary may lie so many times outside of the range of η that is searched."""

EXPONENTS = (-0.5, 2.5)
"""Of the boundary in k; the paper has 1, tiny runs 0.4 to 0.8."""

STEEPNESS = (2.0, 30.0)
"""Log-odds per unit of log η: from 10 % to 90 % of runs within a factor of 9, or of 1.16."""

COARSEST = (0.075, 0.15)
"""Between points of the grids in u and b_k, and in a, at most; in u and b_k a third of the wanted half-width."""

STEEPNESSES = 10
"""Points of the grid in s."""

NEGLIGIBLE = 1e-7
"""Points that are so much less likely than the best are not looked at again."""

Indices = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Seen:
    """Runs of one cell that told whether they collapse within the horizon; fractions stand for runs under way.

    Attributes:
        k: Staleness.
        eta: Learning rate.
        collapsed: How many collapsed.
        stable: How many did not.
        warned: How many were ended early by a warning.
        odds: Of those, how many times as often the warning comes in runs of a cell that collapse as in others.
    """

    k: int
    eta: float
    collapsed: float
    stable: float
    warned: float = 0.0
    odds: float = 1.0


@dataclass(frozen=True, slots=True)
class Goal:
    """What is to be known, and how well.

    Attributes:
        quantity: ``eta_max`` at one k, or the ``exponent`` a or the ``constant`` C of η_max = C·k^−a.
        half_width: Of its interval, at most; of the logarithm but for the exponent.
        k: Staleness, for ``eta_max``.
    """

    quantity: Literal["eta_max", "exponent", "constant"]
    half_width: float
    k: int | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Beliefs:
    """What is known of the boundaries.

    Attributes:
        eta: The range that is searched.
        ks: At which the boundary is wanted.
        b: Where a boundary may lie, in log η, shape (places,).
        s: Its steepness, shape (steepnesses,).
        u: Centre of the law in log η, at the mean of log k, as a place, shape (points,).
        a: Its exponent in k, shape (points,).
        at_s: Which steepness, shape (points,).
        at_tau: Which of `DEVIATIONS`, shape (points,).
        weight: Shape (points,), positive, of sum 1.
        at: What was seen, by k.
    """

    eta: tuple[float, float]
    ks: tuple[int, ...]
    b: Array
    s: Array
    u: Indices
    a: Array
    at_s: Indices
    at_tau: Indices
    weight: Array
    at: Mapping[int, AtK]

    @classmethod
    def before(cls, ks: Sequence[int], eta: tuple[float, float], half_width: float = math.inf) -> Beliefs:
        """Know nothing but the ranges: all (u, a, 1/s) and τ are alike, so that steepness has to be shown.

        Args:
            ks: At which the boundary is wanted.
            eta: Smallest and largest learning rate that may be run.
            half_width: The smallest that is wanted of log η_max.
        """
        low, high = (math.log(end) for end in eta)
        b = _points(low - math.log(BEYOND), high + math.log(BEYOND), min(COARSEST[0], half_width / 3))
        s = np.geomspace(*STEEPNESS, STEEPNESSES)
        axes = np.arange(len(b)), _points(*EXPONENTS, COARSEST[1]), np.arange(len(s)), np.arange(len(DEVIATIONS))
        u, a, at_s, at_tau = (axis.ravel() for axis in np.meshgrid(*axes, indexing="ij"))
        u, at_s, at_tau = (axis.astype(np.intp) for axis in (u, at_s, at_tau))
        weight = 1 / s[at_s] / np.sum(1 / s[at_s])
        return cls(eta, tuple(ks), b, s, u, a.astype(float), at_s, at_tau, weight, {})

    def after(self, seen: Iterable[Seen]) -> Beliefs:
        """Learn from cells."""
        new: dict[int, Array] = {}
        for cell in seen:
            log_odds = self._log_odds(cell.eta)
            told = cell.collapsed * log_expit(log_odds) + cell.stable * log_expit(-log_odds)
            if cell.warned:
                told += cell.warned * np.log1p((cell.odds - 1) * expit(log_odds))
            new[cell.k] = new.get(cell.k, 0.0) + told
        at = {k: AtK.of(self._at(k).log_likelihood + told, self._kernels) for k, told in new.items()}
        log_weight = np.log(self.weight)
        for k, now in at.items():
            log_weight += np.log(now.evidence / self._at(k).evidence).ravel()[self._cells(k)]
        weight = np.exp(log_weight - log_weight.max())
        kept = weight > NEGLIGIBLE
        return replace(
            self, u=self.u[kept], a=self.a[kept], at_s=self.at_s[kept], at_tau=self.at_tau[kept],
            weight=weight[kept] / weight[kept].sum(), at={**self.at, **at},
        )  # fmt: skip

    def drawn(self, draw: np.random.Generator) -> Beliefs:
        """One of the truths that are possible, known with certainty."""
        point = draw.choice(len(self.weight), p=self.weight)
        only = {name: getattr(self, name)[[point]] for name in ("u", "a", "at_s", "at_tau")}
        truth, at = replace(self, weight=np.ones(1), **only), {}
        for k in self.ks:
            certain = np.full((len(self.b), len(self.s)), math.log(SMALLEST))
            certain[draw.choice(len(self.b), p=truth._likely(k))] = 0.0
            at[k] = AtK.of(certain, self._kernels)
        return replace(truth, at=at)

    def p_collapse(self, k: int, eta: float) -> float:
        """Expected share of runs that collapse within the horizon."""
        return float(self.chances([(k, eta)])[0])

    def chances(self, places: Sequence[Place]) -> Array:
        """As `p_collapse`, of many places."""
        boundaries = {k: self.boundary(k) for k in {k for k, _ in places}}
        return np.array([np.sum(boundaries[k] * expit(self._log_odds(eta))) for k, eta in places])

    def boundary(self, k: int) -> Array:
        """How likely log η_max(k) and s are each pair of ``b`` and ``s``, shape (places, steepnesses)."""
        likely = self._around(k) * self._at(k).likelihood
        found: Array = likely / likely.sum()
        return found

    def _likely(self, k: int) -> Array:
        """How likely log η_max(k) is each of ``b``, shape (places,)."""
        found: Array = self.boundary(k).sum(axis=1)
        return found

    def moments(self, goal: Goal) -> tuple[float, float]:
        """Mean and standard deviation of what a goal is about; of its logarithm but for the exponent."""
        parts = self._parts(goal)
        centres = {k: self._centre(k) for k in parts}
        together = np.sum([share * centres[k] for k, share in parts.items()], axis=0)
        mean = float(self.weight @ together)
        # over the points, and beside them: how far each boundary may deviate, which is its own matter
        variance = float(self.weight @ together**2) - mean**2
        for k, share in parts.items():
            own = float(self._likely(k) @ self.b**2) - float(self.weight @ centres[k] ** 2)
            variance += share**2 * own
        return mean, math.sqrt(max(variance, 0.0))

    def interval(self, goal: Goal, confidence: float) -> tuple[float, float]:
        """Between which it lies, with as much probability left out on either side; at 0, both are the median.

        Of a boundary by its distribution, of the law as of a normal one.
        """
        ends = (1 - confidence) / 2, (1 + confidence) / 2
        if goal.k is None:
            mean, deviation = self.moments(goal)
            low, high = (mean + deviation * float(ndtri(end)) for end in ends)
            return low, high
        below = np.append(0.0, np.cumsum(self._likely(goal.k)))
        edges = np.append(self.b - self._step / 2, self.b[-1] + self._step / 2)
        low, high = np.interp(ends, below, edges)
        return float(low), float(high)

    def p_outside(self, k: int) -> tuple[float, float]:
        """How likely the boundary at k lies below the range that is searched, and above it."""
        likely = self._likely(k)
        low, high = (math.log(end) for end in self.eta)
        return float(likely[self.b < low].sum()), float(likely[self.b > high].sum())

    def gains(self, places: Sequence[Place], goals: Sequence[Goal]) -> tuple[Array, Array]:
        """What a run at each place would teach.

        Args:
            places: Where runs may be made.
            goals: What is to be known better.

        Returns:
            The expected fall of the summed variance of the goals, each over its width; and how likely a collapse is.
        """
        parts = [(goal, self._parts(goal)) for goal in goals]
        wanted = {k for _, of_goal in parts for k in of_goal}
        centres = {k: self._centre(k) for k in wanted}
        means = {k: float(self.weight @ centre) for k, centre in centres.items()}
        gains, chances = np.zeros(len(places)), np.zeros(len(places))
        for k in {k for k, _ in places}:
            members = [at for at, place in enumerate(places) if place[0] == k]
            collapse = np.stack([expit(self._log_odds(places[at][1])) for at in members])
            collapse *= self._at(k).likelihood
            around = self._around(k)
            total = np.sum(around * self._at(k).likelihood)
            p = np.einsum("pbs,bs->p", collapse, around) / total
            moved = {}  # covariance of each boundary with the outcome of each run
            for other in wanted:
                if other == k:
                    apart = (self.b - means[k])[:, None] * around / total
                else:
                    of_cells = self._share(k, self.weight * (centres[other] - means[other]))
                    apart = self._spread(of_cells / self._at(k).evidence)
                moved[other] = np.einsum("pbs,bs->p", collapse, apart)
            for goal, of_goal in parts:
                fall = sum(share * moved[other] for other, share in of_goal.items()) / goal.half_width
                # the variance between the two outcomes' means is what the run takes off, on average
                gains[members] += fall**2 / np.maximum(p * (1 - p), 1e-12)
            chances[members] = p
        return gains, chances

    @property
    def _step(self) -> float:
        return float(self.b[1] - self.b[0])

    @property
    def _kernels(self) -> Array:
        return kernels_of(len(self.b), round(self._step, 12))

    def _at(self, k: int) -> AtK:
        return self.at[k] if k in self.at else unseen(len(self.b), len(self.s))

    def _cells(self, k: int) -> Indices:
        """Which place of (τ, centre, steepness) each point has at k, shape (points,)."""
        log_k = math.log(k) - float(np.mean(np.log(self.ks)))
        centre = np.clip(self.u - np.rint(self.a * log_k / self._step).astype(np.intp), 0, len(self.b) - 1)
        found: Indices = (self.at_tau * len(self.b) + centre) * len(self.s) + self.at_s
        return found

    def _share(self, k: int, weight: Array) -> Array:
        """Sum weights of points by their place at k, shape (τ, centres, steepnesses)."""
        shape = len(DEVIATIONS), len(self.b), len(self.s)
        found: Array = np.bincount(self._cells(k), weight, math.prod(shape)).reshape(shape).astype(float)
        return found

    def _spread(self, of_cells: Array) -> Array:
        """From centres to the boundaries around them, shape (places, steepnesses)."""
        found: Array = np.einsum("tcb,tcs->bs", self._kernels, of_cells, optimize=True)
        return found

    def _around(self, k: int) -> Array:
        """How likely a boundary at k is by all that was seen elsewhere, shape (places, steepnesses)."""
        return self._spread(self._share(k, self.weight) / self._at(k).evidence)

    def _centre(self, k: int) -> Array:
        """Mean boundary at k by each point, shape (points,)."""
        at = self._at(k)
        means = (self._kernels @ (at.likelihood * self.b[:, None])) / at.evidence
        found: Array = means.ravel()[self._cells(k)]
        return found

    def _parts(self, goal: Goal) -> dict[int, float]:
        """How a goal is made up of boundaries, by k."""
        if goal.k is not None:
            return {goal.k: 1.0}
        log_k = np.log(self.ks)
        slope = (log_k - log_k.mean()) / np.sum((log_k - log_k.mean()) ** 2)
        shares = -slope if goal.quantity == "exponent" else 1 / len(log_k) - slope * log_k.mean()
        return dict(zip(self.ks, shares.tolist(), strict=True))

    def _log_odds(self, eta: float) -> Array:
        """Of a collapse, by boundary and steepness, shape (places, steepnesses)."""
        found: Array = self.s * (math.log(eta) - self.b[:, None])
        return found


def _points(low: float, high: float, step: float) -> Array:
    return np.linspace(low, high, math.ceil((high - low) / step) + 1)
