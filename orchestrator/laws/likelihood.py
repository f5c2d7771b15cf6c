"""One likelihood for T*: log-normal where a run is susceptible, never where it is immune; own code.

log T* = −b·log η − q·log k + c + σε for a susceptible run, ε standard normal, and T* is known to lie in an interval.
An infinite upper end is right-censoring: by a susceptible run that would collapse later, or by an immune one. A run is
susceptible with log-odds z₀ + z₁·log η + z₂·log k. This is the mixture-cure model (Farewell 1982, Biometrics 38,
1041–1046) with interval censoring. Its log-odds are penalised (see `orchestrator.laws.logistic`).

Without immune runs, in (β/σ, 1/σ), the log-likelihood is concave (Burridge 1981, J. R. Stat. Soc. B 43, 41–45); with
them it is not, and `maximise` takes several starts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit, log_ndtr

from orchestrator.laws.identified import Array, Band
from orchestrator.laws.logistic import information_penalty

SIGMA_FLOOR = 1e-3
"""Smallest σ that is tried. Intervals of T* that one line passes through leave the likelihood flat down to it."""

LOG_SIGMA = (math.log(SIGMA_FLOOR), math.log(1e3))
"""Bounds of log σ in every search."""

LARGEST_EXPONENT = 300.0
"""Of e, in gradients; sums and squares of such numbers stay finite."""

CLEARLY = 1e-6
"""A later start must do better by so much log-likelihood, so that flat likelihoods end where the first one is."""

PARAMETERS = ("b", "q", "c", "log_sigma", "z0", "z1", "z2")
LATENCY = 4
"""Of the parameters, those of T*; the rest say who is susceptible."""


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What is known of T*, a row for all runs that are alike.

    Attributes:
        log_eta: Shape (rows,).
        log_k: Shape (rows,).
        lower: Of log T*, shape (rows,); −inf allowed.
        upper: Of log T*, shape (rows,); +inf where the runs were only outlived.
        by_seed: Number of runs, shape (seeds, rows).
        immune: Whether some runs may be immune.
    """

    log_eta: Array
    log_k: Array
    lower: Array
    upper: Array
    by_seed: Array
    immune: bool = False

    @cached_property
    def runs(self) -> Array:
        """Of all seeds, shape (rows,)."""
        return np.asarray(self.by_seed.sum(axis=0))

    @cached_property
    def collapsed(self) -> NDArray[np.bool_]:
        """Whether T* was seen, shape (rows,)."""
        return np.asarray(np.isfinite(self.upper), dtype=bool)

    @cached_property
    def mean_design(self) -> Array:
        """Columns of b, q and c, shape (rows, 3)."""
        return np.column_stack([-self.log_eta, -self.log_k, np.ones_like(self.log_k)])

    @cached_property
    def odds_design(self) -> Array:
        """Columns of z₀, z₁ and z₂, shape (rows, 3)."""
        return np.column_stack([np.ones_like(self.log_k), self.log_eta, self.log_k])


@dataclass(frozen=True, slots=True)
class Held:
    """What a fit holds, on the axes of its outcomes.

    Attributes:
        values: Any of `PARAMETERS` but z₀, z₁ and z₂.
        a: The boundary's exponent, z₂/z₁.
        boundary: A point (log η, log k) where half of the runs are susceptible.
        median: A point (log η, log k) and the logarithm of the median T* there.
    """

    values: Mapping[str, float] = field(default_factory=dict)
    a: float | None = None
    boundary: tuple[float, float] | None = None
    median: tuple[float, float, float] | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Restriction:
    """All parameters as matrix·free + offset.

    Attributes:
        matrix: Shape (parameters, free).
        offset: Shape (parameters,).
    """

    matrix: Array
    offset: Array

    @classmethod
    def hold(cls, *, immune: bool, held: Held) -> Restriction:
        """Hold parameters, or what follows from them.

        Args:
            immune: Whether the log-odds are parameters at all.
            held: What, at which value.
        """
        names = PARAMETERS if immune else PARAMETERS[:LATENCY]
        matrix: Array = np.eye(len(names))
        offset: Array = np.zeros(len(names))
        b, q, c = range(3)
        z0, z1, z2 = range(LATENCY, LATENCY + 3)
        gone = {names.index(name) for name in held.values}
        for name, value in held.values.items():
            offset[names.index(name)] = value
        if held.a is not None:
            matrix[z2] = held.a * matrix[z1]
            gone.add(z2)
        if held.boundary is not None:
            log_eta, log_k = held.boundary
            matrix[z0] = -log_eta * matrix[z1] - log_k * matrix[z2]
            gone.add(z0)
        if held.median is not None:
            log_eta, log_k, log_step = held.median
            matrix[c] = log_eta * matrix[b] + log_k * matrix[q]
            offset[c] = log_step + log_eta * offset[b] + log_k * offset[q]
            gone.add(c)
        keep = [place for place in range(len(names)) if place not in gone]
        return cls(matrix[:, keep], offset)

    def free(self, parameters: Array) -> Array:
        """The free parameters nearest to ``parameters``."""
        return np.asarray(np.linalg.lstsq(self.matrix, parameters - self.offset, rcond=None)[0], dtype=np.float64)


@dataclass(frozen=True, eq=False, slots=True)
class Maximum:
    """A maximum of the likelihood.

    Attributes:
        parameters: `PARAMETERS`, those of the log-odds only with immune runs.
        log_likelihood: Penalised, where there are log-odds.
    """

    parameters: Array
    log_likelihood: float


def log_interval_probability(z_lower: Array, z_upper: Array) -> Array:
    """log(Φ(z_upper) − Φ(z_lower)) without cancellation, in either tail; infinite ends are allowed."""
    flip = z_lower > 0
    low, high = np.where(flip, -z_upper, z_lower), np.where(flip, -z_lower, z_upper)
    log_low, log_high = log_ndtr(low), log_ndtr(high)
    probability: Array = log_high + np.log(-np.expm1(log_low - log_high))
    return probability


def log_likelihood(parameters: Array, outcomes: Outcomes) -> tuple[float, Array]:
    """The logarithm of L at ``parameters``, without a penalty, and its gradient."""
    sigma = math.exp(parameters[3])
    mean_design = outcomes.mean_design
    mean = mean_design @ parameters[:3]
    z_lower, z_upper = (outcomes.lower - mean) / sigma, (outcomes.upper - mean) / sigma
    total = log_p = log_interval_probability(z_lower, z_upper)
    weight, odds_gradient = outcomes.runs, np.empty(0)
    if outcomes.immune:
        design = outcomes.odds_design
        u = design @ parameters[LATENCY:]
        log_seen = log_expit(u) + log_p
        total = np.where(outcomes.collapsed, log_seen, np.logaddexp(log_seen, log_expit(-u)))
        susceptible = np.exp(log_seen - total)
        weight = outcomes.runs * susceptible
        odds_gradient = design.T @ (outcomes.runs * (susceptible - expit(u)))
    hazard_lower, hazard_upper = _hazard(z_lower, log_p), _hazard(z_upper, log_p)
    by_mean = weight * (hazard_lower - hazard_upper) / sigma
    # φ vanishes at infinite ends, where z·φ would be 0·∞
    by_log_sigma = weight * (hazard_lower * _finite(z_lower) - hazard_upper * _finite(z_upper))
    gradient = np.concatenate([mean_design.T @ by_mean, [by_log_sigma.sum()], odds_gradient])
    return float(outcomes.runs @ total), gradient


def negative_log_likelihood(parameters: Array, outcomes: Outcomes) -> tuple[float, Array]:
    """−log L, penalised where there are log-odds, and its gradient at ``parameters``."""
    value, gradient = log_likelihood(parameters, outcomes)
    if outcomes.immune:
        penalty, by_odds = information_penalty(outcomes.odds_design, outcomes.runs, parameters[LATENCY:])
        value += penalty
        gradient[LATENCY:] += by_odds
    return -value, -gradient


def information(parameters: Array, outcomes: Outcomes) -> Array:
    """Observed information of all parameters, penalty included, by differences of the gradient."""
    step = 1e-4
    columns = []
    for shift in step * np.eye(len(parameters)):
        ahead, behind = (negative_log_likelihood(at, outcomes)[1] for at in (parameters + shift, parameters - shift))
        columns.append((ahead - behind) / (2 * step))
    return np.array(columns)


def maximise(outcomes: Outcomes, restriction: Restriction, starts: Sequence[Array] = ()) -> Maximum | None:
    """The best maximum from all starts; None where the optimiser finds none.

    Args:
        outcomes: Of full rank in what is free.
        restriction: What is free.
        starts: All parameters, to start from instead of those found here.
    """
    matrix, offset = restriction.matrix, restriction.offset

    def objective(free: Array) -> tuple[float, Array]:
        value, gradient = negative_log_likelihood(matrix @ free + offset, outcomes)
        return value, matrix.T @ gradient

    bounds = [LOG_SIGMA if column[3] else (None, None) for column in matrix.T]
    best: Maximum | None = None
    for start in starts or _starts(outcomes):
        result = minimize(
            objective,
            restriction.free(start),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": 1000, "ftol": 1e-12, "gtol": 1e-6},
        )
        if np.isfinite(result.fun) and (best is None or -result.fun > best.log_likelihood + CLEARLY):
            best = Maximum(matrix @ result.x + offset, -float(result.fun))
    return best


def _starts(outcomes: Outcomes) -> list[Array]:
    """A line through all intervals, else least squares; where runs may be immune, with few and with many of them."""
    seen = outcomes.collapsed
    latency = line_through_intervals(outcomes)
    if latency is None:
        middle = np.where(np.isfinite(outcomes.lower), (outcomes.lower + outcomes.upper) / 2, outcomes.upper)[seen]
        design = outcomes.mean_design[seen]
        beta = np.linalg.lstsq(design, middle, rcond=None)[0]
        spread = float(np.std(middle - design @ beta)) if len(middle) else 0.0
        latency = np.append(beta, math.log(max(spread, 0.1)))
    if not outcomes.immune:
        return [latency]
    towards = np.linalg.lstsq(outcomes.odds_design, np.where(seen, 2.0, -2.0), rcond=None)[0]
    return [np.append(latency, towards), np.append(latency, [3.0, *towards[1:] / 4])]


def line_through_intervals(outcomes: Outcomes) -> Array | None:
    """b, q, c of the middle of all lines inside the intervals of T*, and log σ so small that all are certain.

    The likelihood is flat there, and σ is not identified. None where no line is.
    """
    rows = outcomes.collapsed | (not outcomes.immune)
    band = Band(outcomes.mean_design[rows], outcomes.lower[rows], outcomes.upper[rows])
    margin = band.margin()
    centre = band.centre() if margin > SIGMA_FLOOR else None
    return None if centre is None else np.append(centre, math.log(max(margin / 8, SIGMA_FLOOR)))


def _hazard(z: Array, log_p: Array) -> Array:
    """φ(z)/P; φ(±∞) = 0."""
    log_density = -0.5 * z**2 - 0.5 * math.log(2 * math.pi)
    # a line search may try z of 1e10, where rounding in the difference of squares has no bounds
    hazard: Array = np.exp(np.minimum(log_density - log_p, LARGEST_EXPONENT))
    return hazard


def _finite(z: Array) -> Array:
    return np.where(np.isfinite(z), z, 0.0)
