"""What is believed of the boundary η_max(k), and how much one more run would narrow it.

A run at (k, η) collapses within its horizon with log-odds s·(log η − b_k). The boundaries b_k = log η_max(k) lie around
a power law, b_k ~ N(u − a·log k, τ²). No law is exact: where the runs at one k disagree with it, the runs win. Beliefs
about (u, a, s, τ) are weights on a grid of them. Given (u, a, s, τ), runs at different k say nothing about each other,
so each b_k has a grid of its own. This is exact up to the grids, also where a likelihood has no maximum yet.

The goals are linear in the boundaries: one of them, or the exponent a or log C of the least-squares line η_max = C·k^−a
through all of them. The gain of a run is the expected fall of their variances (Lindley 1956, Ann. Math. Stat. 27,
986–1005, with the variance in place of the entropy).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit, ndtri

from orchestrator.laws.estimates import Array
from orchestrator.laws.gaps import Coordinates

BEYOND = 8.0
"""The boundary may lie up to this factor outside the range of η that is searched."""

EXPONENTS = np.linspace(-0.5, 2.5, 21)
"""Possible exponents a of the boundary in k; the paper has 1, tiny runs 0.4 to 0.8."""

STEEPNESSES = np.geomspace(2.0, 30.0, 10)
"""Possible s, log-odds per unit of log η: from 10 % to 90 % of runs within a factor of 9, or of 1.16."""

DEVIATIONS = np.array([0.1, 0.2, 0.4])
"""Possible τ: boundaries lie within factors of 1.1, 1.2 or 1.5 of their power law; those of tiny runs within 1.25."""

COARSEST = 0.075
"""Widest step of the grids in u and b_k; it is a third of the wanted half-width where that is less."""

NEGLIGIBLE = 1e-7
"""Points are dropped whose weight is smaller than this part of the largest."""

SMALLEST = 1e-300
"""Smallest likelihood, so that it has a logarithm."""

Indices = NDArray[np.intp]
Quantity = Literal["eta_max", "exponent", "constant"]


@dataclass(frozen=True, slots=True)
class Seen:
    """Runs of one cell that ended; fractions stand for runs under way."""

    k: int
    eta: float
    collapsed: float  # within the horizon
    stable: float


@dataclass(frozen=True, slots=True)
class Goal:
    """A quantity to be known, and how well: η_max at one k, or a or C of the law η_max = C·k^−a."""

    quantity: Quantity
    half_width: float  # largest of its interval; of the logarithm, except for the exponent
    k: int | None = None  # of eta_max


@dataclass(frozen=True, eq=False, slots=True)
class AtK:
    """What the runs at one k say about its boundary."""

    log_likelihood: Array  # by boundary and steepness, shape (places, steepnesses)
    likelihood: Array  # the same, 1 at its largest
    evidence: Array  # likelihood of a law whose centre lies at each place, shape (τ, places, steepnesses)

    @classmethod
    def of(cls, log_likelihood: Array, kernels: Array) -> AtK:
        """From the log-likelihood, and `kernels_of` the grid."""
        likelihood = np.maximum(np.exp(log_likelihood - log_likelihood.max()), SMALLEST)
        return cls(log_likelihood, likelihood, kernels @ likelihood)


@functools.lru_cache(maxsize=8)
def kernels_of(places: int, step: float) -> Array:
    """Distribution of boundaries around a centre, shape (τ, centres, places)."""
    apart = step * (np.arange(places) - np.arange(places)[:, None])
    shapes = np.exp(-((apart / DEVIATIONS[:, None, None]) ** 2) / 2)
    found: Array = shapes / shapes.sum(axis=2, keepdims=True)
    return found


@functools.lru_cache(maxsize=8)
def unseen(places: int) -> AtK:
    """At a k where no run has ended."""
    one = np.ones((places, len(STEEPNESSES)))
    return AtK(np.zeros_like(one), one, np.ones((len(DEVIATIONS), *one.shape)))


@dataclass(frozen=True, eq=False, slots=True)
class Beliefs:
    """What is believed of the boundaries of one group of runs."""

    eta: tuple[float, float]  # the range that is searched
    ks: tuple[int, ...]  # where the boundary is wanted
    b: Array  # possible places of a boundary in log η, shape (places,)
    points: Indices  # of u in b (at the mean of log k), of a, s and τ in the lists above; shape (4, points)
    weight: Array  # of each point, positive and of sum 1
    at: Mapping[int, AtK]  # what the runs say, by k

    @classmethod
    def before(cls, ks: Sequence[int], eta: tuple[float, float], half_width: float = math.inf) -> Beliefs:
        """The prior: all (u, a, 1/s) and τ are equally likely, so that runs have to show that a boundary is steep.

        ``half_width`` is the smallest that is wanted of log η_max.
        """
        low, high = math.log(eta[0]) - math.log(BEYOND), math.log(eta[1]) + math.log(BEYOND)
        b = np.linspace(low, high, math.ceil((high - low) / min(COARSEST, half_width / 3)) + 1)
        points = np.indices((len(b), len(EXPONENTS), len(STEEPNESSES), len(DEVIATIONS))).reshape(4, -1)
        weight = 1 / STEEPNESSES[points[2]]
        return cls(eta, tuple(ks), b, points, weight / np.sum(weight), {})

    def after(self, seen: Iterable[Seen]) -> Beliefs:
        """Beliefs after these runs too."""
        new: dict[int, Array] = {}
        for cell in seen:
            log_odds = self._log_odds(cell.eta)
            says = cell.collapsed * log_expit(log_odds) + cell.stable * log_expit(-log_odds)
            new[cell.k] = new.get(cell.k, 0.0) + says
        at = {k: AtK.of(self._at(k).log_likelihood + says, self._kernels) for k, says in new.items()}
        log_weight = np.log(self.weight)
        for k, now in at.items():
            log_weight += np.log(now.evidence / self._at(k).evidence).ravel()[self._cells(k)]
        weight = np.exp(log_weight - log_weight.max())
        kept = weight > NEGLIGIBLE
        weight = weight[kept] / weight[kept].sum()
        return replace(self, points=self.points[:, kept], weight=weight, at={**self.at, **at})

    def drawn(self, draw: np.random.Generator) -> Beliefs:
        """Draw one truth from the beliefs: beliefs that are certain."""
        point = draw.choice(len(self.weight), p=self.weight)
        truth, at = replace(self, points=self.points[:, [point]], weight=np.ones(1)), {}
        for k in self.ks:
            certain = np.full((len(self.b), len(STEEPNESSES)), math.log(SMALLEST))
            certain[draw.choice(len(self.b), p=truth._likely(k))] = 0.0
            at[k] = AtK.of(certain, self._kernels)
        return replace(truth, at=at)

    def p_collapse(self, k: int, eta: float) -> float:
        """Expected share of runs that collapse within the horizon."""
        return float(self.chances([(k, eta)])[0])

    def chances(self, places: Sequence[Coordinates]) -> Array:
        """As `p_collapse`, of many cells, shape (cells,)."""
        boundaries = {k: self.boundary(k) for k in {k for k, _ in places}}
        return np.array([np.sum(boundaries[k] * expit(self._log_odds(eta))) for k, eta in places])

    def boundary(self, k: int) -> Array:
        """Probability of each pair of ``b`` and ``s`` at k, shape (places, steepnesses)."""
        likely = self._around(k) * self._at(k).likelihood
        found: Array = likely / likely.sum()
        return found

    def _likely(self, k: int) -> Array:
        """Probability of each of ``b`` at k, shape (places,)."""
        found: Array = self.boundary(k).sum(axis=1)
        return found

    def moments(self, goal: Goal) -> tuple[float, float]:
        """Mean and standard deviation of a goal's quantity; of its logarithm, except for the exponent."""
        parts = self._parts(goal)
        centres = {k: self._centre(k) for k in parts}
        together = np.sum([share * centres[k] for k, share in parts.items()], axis=0)
        mean = float(self.weight @ together)
        # The variance between the points, and beside it that of each boundary around its law.
        variance = float(self.weight @ together**2) - mean**2
        for k, share in parts.items():
            own = float(self._likely(k) @ self.b**2) - float(self.weight @ centres[k] ** 2)
            variance += share**2 * own
        return mean, math.sqrt(max(variance, 0.0))

    def interval(self, goal: Goal, confidence: float) -> tuple[float, float]:
        """The central interval: of a boundary by its distribution, of a and C by a normal one; at 0, the median."""
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
        """Probability that the boundary at k lies below the range that is searched, and above it."""
        likely = self._likely(k)
        low, high = (math.log(end) for end in self.eta)
        return float(likely[self.b < low].sum()), float(likely[self.b > high].sum())

    def gains(self, places: Sequence[Coordinates], goals: Sequence[Goal]) -> tuple[Array, Array]:
        """What one run of each cell would be worth, and its chance of a collapse, both of shape (cells,).

        It is worth the expected fall of the summed variance of the goals, each over its squared half-width.
        """
        parts = [(goal, self._parts(goal)) for goal in goals]
        centres = {k: self._centre(k) for k in {k for _, of_goal in parts for k in of_goal}}
        gains, chances = np.zeros(len(places)), np.zeros(len(places))
        for k in {k for k, _ in places}:
            members = [at for at, place in enumerate(places) if place[0] == k]
            p, covariance = self._outcomes(k, [places[at][1] for at in members], centres)
            chances[members] = p
            for goal, of_goal in parts:
                together = sum(share * covariance[other] for other, share in of_goal.items()) / goal.half_width
                # On average, a run takes off the variance between the means after its two outcomes.
                gains[members] += together**2 / np.maximum(p * (1 - p), 1e-12)
        return gains, chances

    def _outcomes(self, k: int, etas: Sequence[float], centres: Mapping[int, Array]) -> tuple[Array, dict[int, Array]]:
        """Chance of a collapse at each η, shape (etas,), and its covariance with the boundary at each other k."""
        collapse = np.stack([expit(self._log_odds(eta)) for eta in etas])
        collapse *= self._at(k).likelihood
        around = self._around(k)
        total = np.sum(around * self._at(k).likelihood)
        covariance = {}
        for other, centre in centres.items():
            mean = float(self.weight @ centre)
            if other == k:
                apart = (self.b - mean)[:, None] * around / total
            else:
                apart = self._spread(self._share(k, self.weight * (centre - mean)) / self._at(k).evidence)
            covariance[other] = np.einsum("pbs,bs->p", collapse, apart)
        return np.einsum("pbs,bs->p", collapse, around) / total, covariance

    @property
    def _step(self) -> float:
        return float(self.b[1] - self.b[0])

    @property
    def _shape(self) -> tuple[int, int, int]:
        """How many τ, centres and steepnesses there are."""
        return len(DEVIATIONS), len(self.b), len(STEEPNESSES)

    @property
    def _kernels(self) -> Array:
        return kernels_of(len(self.b), round(self._step, 12))

    def _at(self, k: int) -> AtK:
        return self.at[k] if k in self.at else unseen(len(self.b))

    def _cells(self, k: int) -> Indices:
        """Flat index of each point in an array of `_shape`, centres being those at k, shape (points,)."""
        u, a, s, tau = self.points
        log_k = math.log(k) - float(np.mean(np.log(self.ks)))
        centre = u - np.rint(EXPONENTS[a] * log_k / self._step).astype(np.intp)
        found: Indices = np.ravel_multi_index((tau, centre, s), self._shape, mode="clip")
        return found

    def _share(self, k: int, weight: Array) -> Array:
        """Sum weights of points by their place at k, an array of `_shape`."""
        return np.bincount(self._cells(k), weight, math.prod(self._shape)).astype(float).reshape(self._shape)

    def _spread(self, of_centres: Array) -> Array:
        """From centres to the boundaries around them, shape (places, steepnesses)."""
        found: Array = np.einsum("tcb,tcs->bs", self._kernels, of_centres, optimize=True)
        return found

    def _around(self, k: int) -> Array:
        """Likelihood of each boundary at k by the runs at all other k, shape (places, steepnesses)."""
        return self._spread(self._share(k, self.weight) / self._at(k).evidence)

    def _centre(self, k: int) -> Array:
        """Mean boundary at k by each point, shape (points,)."""
        at = self._at(k)
        means: Array = (self._kernels @ (at.likelihood * self.b[:, None])) / at.evidence
        return means.ravel()[self._cells(k)]

    def _parts(self, goal: Goal) -> dict[int, float]:
        """The weights that a goal's quantity gives to the boundaries, by k."""
        if goal.k is not None:
            return {goal.k: 1.0}
        log_k = np.log(self.ks)
        slope = (log_k - log_k.mean()) / np.sum((log_k - log_k.mean()) ** 2)
        shares = -slope if goal.quantity == "exponent" else 1 / len(log_k) - slope * log_k.mean()
        return dict(zip(self.ks, shares.tolist(), strict=True))

    def _log_odds(self, eta: float) -> Array:
        """Log-odds of a collapse by boundary and steepness, shape (places, steepnesses)."""
        found: Array = STEEPNESSES * (math.log(eta) - self.b[:, None])
        return found
