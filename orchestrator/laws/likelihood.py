"""The likelihood of T*: log-normal for susceptible runs, never for immune ones; own code.

For a susceptible run log T* = −b·log η − q·log k + c + σε, with ε standard normal. T* is known to lie in an interval.
If the upper end is infinite (right-censoring), the run is either susceptible and would collapse later, or immune. A run
is susceptible with log-odds z₀ + z₁·log η + z₂·log k. This is the mixture-cure model (Farewell 1982, Biometrics 38,
1041–1046) with interval censoring. Its log-odds are penalised.

Without immune runs the log-likelihood is concave in (β/σ, 1/σ) (Burridge 1981, J. R. Stat. Soc. B 43, 41–45). With them
it is not, so the search has several starts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit, log_ndtr

from orchestrator.laws.estimates import Array, Band
from orchestrator.laws.maximum import LATENCY, ODDS, SIGMA_FLOOR

PENALTY = 0.3
"""Weight of the log-determinant; Firth's is 1/2, which removes the bias of few runs, but gives too wide intervals of
the boundary's exponent in sweeps of 36 runs. 1/4 gives too narrow ones in sweeps of 84 (docs/benchmarks.md)."""

LARGEST_EXPONENT = 300.0
"""Largest exponent of e in gradients, so that sums and squares of such numbers stay finite."""


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What is known of T*, as a `Likelihood` of `LATENCY` and, with immune runs, of `ODDS`.

    Each row stands for all runs that are alike; arrays without another shape are (rows,).
    """

    log_eta: Array
    log_k: Array
    lower: Array  # lower end of log T*; may be −inf
    upper: Array  # upper end of log T*; +inf for runs that did not collapse
    by_seed: Array  # number of runs, shape (seeds, rows)
    immune: bool = False  # whether some runs may be

    precision: ClassVar[Mapping[str, float]] = {"maxiter": 1000, "ftol": 1e-12, "gtol": 1e-6}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return LATENCY + ODDS if self.immune else LATENCY

    @cached_property
    def runs(self) -> Array:
        """Runs of all seeds, shape (rows,)."""
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

    def log_likelihood(self, parameters: Array) -> tuple[float, Array]:
        """The log-likelihood without a penalty, and its gradient, shape (parameters,)."""
        sigma = math.exp(parameters[3])
        mean = self.mean_design @ parameters[:3]
        z_lower, z_upper = (self.lower - mean) / sigma, (self.upper - mean) / sigma
        total = log_p = log_interval_probability(z_lower, z_upper)
        weight, odds_gradient = self.runs, np.empty(0)
        if self.immune:
            u = self.odds_design @ parameters[-3:]
            log_seen = log_expit(u) + log_p
            total = np.where(self.collapsed, log_seen, np.logaddexp(log_seen, log_expit(-u)))
            susceptible = np.exp(log_seen - total)
            weight = self.runs * susceptible
            odds_gradient = self.odds_design.T @ (self.runs * (susceptible - expit(u)))
        hazard_lower, hazard_upper = _hazard(z_lower, log_p), _hazard(z_upper, log_p)
        by_mean = weight * (hazard_lower - hazard_upper) / sigma
        # φ vanishes at infinite ends, where z·φ would be 0·∞
        z_lower, z_upper = (np.where(np.isfinite(z), z, 0.0) for z in (z_lower, z_upper))
        by_log_sigma = weight * (hazard_lower * z_lower - hazard_upper * z_upper)
        gradient = np.concatenate([self.mean_design.T @ by_mean, [by_log_sigma.sum()], odds_gradient])
        return float(self.runs @ total), gradient

    def penalised(self, parameters: Array) -> tuple[float, Array]:
        """The log-likelihood, with immune runs with a penalty, and its gradient, shape (parameters,)."""
        value, gradient = self.log_likelihood(parameters)
        if self.immune:
            penalty, by_odds = information_penalty(self.odds_design, self.runs, parameters[-3:])
            value, gradient[len(LATENCY) :] = value + penalty, gradient[len(LATENCY) :] + by_odds
        return value, gradient

    def scores(self, parameters: Array) -> Array:
        """Gradients of the log-likelihood of each seed's runs, shape (seeds, parameters)."""
        each = (replace(self, by_seed=runs[None]) for runs in self.by_seed)
        return np.array([one.log_likelihood(parameters)[1] for one in each])

    def information(self, parameters: Array) -> Array:
        """Observed information with the penalty, by differences of the gradient, shape (parameters, parameters)."""
        step = 1e-4
        columns = []
        for shift in step * np.eye(len(parameters)):
            ahead, behind = (self.penalised(at)[1] for at in (parameters + shift, parameters - shift))
            columns.append((behind - ahead) / (2 * step))
        return np.array(columns)

    def starts(self) -> list[Array]:
        """Where to start: a line through all intervals, else least squares; with few and with many immune runs."""
        seen = self.collapsed
        latency = self.line_through_intervals()
        if latency is None:
            middle = np.where(np.isfinite(self.lower), (self.lower + self.upper) / 2, self.upper)[seen]
            design = self.mean_design[seen]
            beta = np.linalg.lstsq(design, middle, rcond=None)[0]
            spread = float(np.std(middle - design @ beta)) if len(middle) else 0.0
            latency = np.append(beta, math.log(max(spread, 0.1)))
        if not self.immune:
            return [latency]
        towards = np.linalg.lstsq(self.odds_design, np.where(seen, 2.0, -2.0), rcond=None)[0]
        return [np.append(latency, towards), np.append(latency, [3.0, *towards[1:] / 4])]

    def line_through_intervals(self) -> Array | None:
        """The middle of all lines (b, q, c) inside the intervals of T*, and a log σ at which they are all certain.

        The likelihood is flat there, and σ is not identified. None if there is no such line.
        """
        rows = self.collapsed | (not self.immune)
        band = Band(self.mean_design[rows], self.lower[rows], self.upper[rows])
        margin = band.margin()
        centre = band.centre() if margin > SIGMA_FLOOR else None
        return None if centre is None else np.append(centre, math.log(max(margin / 8, SIGMA_FLOOR)))


def log_interval_probability(z_lower: Array, z_upper: Array) -> Array:
    """log(Φ(z_upper) − Φ(z_lower)) without cancellation, in either tail; ends may be infinite."""
    flip = z_lower > 0
    low, high = np.where(flip, -z_upper, z_lower), np.where(flip, -z_lower, z_upper)
    log_low, log_high = log_ndtr(low), log_ndtr(high)
    return np.asarray(log_high + np.log(-np.expm1(log_low - log_high)))


def _hazard(z: Array, log_p: Array) -> Array:
    """φ(z)/P; φ(±∞) = 0."""
    log_density = -0.5 * z**2 - 0.5 * math.log(2 * math.pi)
    # a line search may try z of 1e10, where the difference of squares is all rounding
    return np.asarray(np.exp(np.minimum(log_density - log_p, LARGEST_EXPONENT)))


def odds_information(design: Array, runs: Array, odds: Array) -> Array:
    """Information of a logistic regression on `ODDS`, shape (3, 3); the arguments are as for `information_penalty`."""
    p = expit(design @ odds)
    return np.asarray(design.T @ ((runs * p * (1 - p))[:, None] * design))


def information_penalty(design: Array, runs: Array, odds: Array) -> tuple[float, Array]:
    """`PENALTY` times the log-determinant of the information, and its gradient; −inf if that is singular.

    It keeps estimates finite even if a line separates the runs that collapsed from the others (Firth 1993, Biometrika
    80, 27–38). ``design`` has the columns of the log-odds, shape (rows, 3); ``runs`` shape (rows,); `ODDS` shape (3,).
    """
    p, information = expit(design @ odds), odds_information(design, runs, odds)
    sign, log_determinant = np.linalg.slogdet(information)
    if not sign > 0:
        return -np.inf, np.zeros_like(odds)
    leverage = runs * p * (1 - p) * np.einsum("ij,ij->i", design @ np.linalg.inv(information), design)
    return PENALTY * float(log_determinant), 2 * PENALTY * (design.T @ (leverage * (0.5 - p)))
