"""A fit: the maximum of a likelihood with some parameters held, and intervals and tests from the profile likelihood.

An interval contains the values at which W, twice the loss of log-likelihood, stays below a threshold. For a normal
regression of n values on p coefficients, W = n·log(1 + t²/(n − p)) exactly, with t Student's. Thresholds and p-values
follow from that relation, with n the number of collapsed runs. Both tend to those of χ² as n grows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Generic, Self, TypeVar

import numpy as np
from scipy.optimize import brentq
from scipy.special import chdtrc, chdtri, fdtrc, stdtrit

from orchestrator.laws.estimates import LARGEST_LOG, Array, Estimate, Side
from orchestrator.laws.maximum import Held, Likelihood, Maximum, Restriction, maximise

L = TypeVar("L", bound=Likelihood)

FitAt = Callable[[float, Maximum], Maximum | None]
"""Fits with a coefficient held at a value, starting from another maximum."""

CONFIDENCE = 0.95

CHI2_THRESHOLD = float(chdtri(1, 1 - CONFIDENCE))
"""Largest loss inside a 95 % interval where no small-sample theory is known."""

FIRST_STEP = 0.1
"""First distance from the estimate that is tried. Exponents and logarithms of constants are of order 1."""

FARTHEST = 100.0
"""If no end is found within this distance of the estimate, the interval is open on that side."""

PRECISION = 2e-3
"""Precision of an end, relative to its distance from the estimate."""


def quantile(freedom: float = math.inf) -> float:
    """Half-width of a 95 % interval in standard errors: the quantile of Student's t with ``freedom`` degrees."""
    return float(stdtrit(freedom, 0.5 + CONFIDENCE / 2))


def threshold(n: int, p: int) -> float:
    """Largest loss 2·Δ log L inside the 95 % interval of one of p coefficients; needs n − p ≥ 1."""
    return n * math.log1p(quantile(n - p) ** 2 / (n - p))


def p_value(loss: float, n: int, p: int, restrictions: int) -> float:
    """p-value of a loss 2·Δ log L when ``restrictions`` linear restrictions are put on p coefficients."""
    freedom = n - p
    ratio = freedom / restrictions * math.expm1(min(max(loss, 0.0) / n, LARGEST_LOG))
    return float(fdtrc(restrictions, freedom, ratio))


def interval(maximum: Maximum, fit_at: FitAt, estimate: float, allowed: float) -> Side:
    """Find the values on both sides of the estimate that cost exactly ``allowed``; None where there is none."""
    most = math.sqrt(allowed)

    def end(way: float) -> float | None:
        last = maximum
        # brentq asks again for the ends of its bracket, where a fit from another start could give another value
        known = {0.0: -most}

        def root(distance: float) -> float:
            """√W, which is nearly linear in the distance from the estimate, minus its largest allowed value."""
            nonlocal last
            if distance not in known:
                last = fit_at(estimate + way * distance, last) or last
                known[distance] = math.sqrt(max(2 * (maximum.log_likelihood - last.log_likelihood), 0.0)) - most
            return known[distance]

        inside, tried = 0.0, FIRST_STEP
        while tried < FARTHEST:
            excess = root(tried)
            if excess > 0:
                return estimate + way * float(brentq(root, inside, tried, xtol=PRECISION * tried))
            reached = (excess + most) / most
            inside, tried = tried, tried * min(max(1.2 / max(reached, 1e-3), 1.2), 4.0)
        return None

    return end(-1.0), end(1.0)


@dataclass(frozen=True)
class ProfiledFit(Generic[L]):
    """A likelihood at its maximum."""

    likelihood: L  # with log η and log k centred
    centre: tuple[float, float]  # what was subtracted from log η and log k
    held: Held  # what is not free
    maximum: Maximum

    @property
    def restriction(self) -> Restriction:
        """What is free."""
        return Restriction.hold(self.likelihood.names, self.held)

    @property
    def odds(self) -> Array:
        """z₀, z₁ (by how much the log-odds of collapse rise with log η) and z₂."""
        return self.maximum.parameters[-3:]

    @property
    def grows(self) -> bool:
        """Whether collapse gets more likely with η, so that there is a boundary."""
        return bool(self.odds[1] > 0)

    @property
    def width(self) -> float:
        """Factor in η from log-odds of 10 % to log-odds of 90 %."""
        return math.exp(min(2 * math.log(9) / float(self.odds[1]), LARGEST_LOG))

    def under(self, *, a: float | None = None, **values: float) -> Self | None:
        """The fit with more parameters held."""
        held = replace(self.held, values={**self.held.values, **values}, a=self.held.a if a is None else a)
        found = self._near(self.maximum, held)
        return None if found is None else replace(self, held=held, maximum=found)

    @cached_property
    def inverse(self) -> Self | None:
        """The fit under the paper's a = 1."""
        return self.under(a=1.0)

    def p_of(self, restricted: Self | None) -> float | None:
        """p-value of the test of a fit from `under`, without small-sample theory; None without one."""
        if restricted is None:
            return None
        restrictions = self.restriction.n_free - restricted.restriction.n_free
        return float(chdtrc(restrictions, max(self._loss(restricted), 0.0)))

    def exponent(self) -> Estimate:
        """The boundary's exponent a, with its interval."""
        a = float(self.odds[2] / self.odds[1])
        return self._profiled(a, lambda value: replace(self.held, a=value), CHI2_THRESHOLD)

    def boundary_at(self, k: float) -> Estimate:
        """The η at which the log-odds of collapse are 0, at one k."""
        log_k = math.log(k) - self.centre[1]
        z0, z1, z2 = self.odds
        at = float(-(z0 + z2 * log_k) / z1)
        log_eta = self._profiled(at, lambda value: replace(self.held, boundary=(value, log_k)), CHI2_THRESHOLD)
        factor = self._widening({"z0": -1 / z1, "z1": -at / z1, "z2": -log_k / z1}, quantile())
        return log_eta.widened(factor).exponential(self.centre[0])

    @property
    def c_local_point(self) -> float:
        """C_local, the k·η on the boundary, of a fit that holds a = 1: `boundary_at` k = 1 without an interval."""
        at_eta, at_k = self.centre
        z0, z1, z2 = (float(number) for number in self.odds)
        return math.exp(at_eta + (z2 * at_k - z0) / z1)

    def _loss(self, restricted: ProfiledFit[L]) -> float:
        return 2 * (self.maximum.log_likelihood - restricted.maximum.log_likelihood)

    def _near(self, near: Maximum, held: Held) -> Maximum | None:
        return maximise(self.likelihood, Restriction.hold(self.likelihood.names, held), [near.parameters])

    def _profiled(self, estimate: float, held: Callable[[float], Held], allowed: float) -> Estimate:
        ends = interval(self.maximum, lambda value, near: self._near(near, held(value)), estimate, allowed)
        return Estimate(estimate, ends)

    def _widening(self, gradient: Mapping[str, float], independent: float) -> float:
        """Factor, at least 1, by which runs of one seed that resemble each other widen the interval of a level.

        Scores summed by seed give the level's variance between seeds (Liang & Zeger 1986, Biometrika 73, 13–22), with
        one degree of freedom less than there are seeds. If that variance is not larger than the likelihood's own, the
        factor is 1. ``gradient`` has the level's derivatives by the named parameters; ``independent`` is the half-width
        of the interval for independent runs, in standard errors.
        """
        matrix, parameters = self.restriction.matrix, self.maximum.parameters
        towards = np.array([gradient.get(name, 0.0) for name in self.likelihood.names]) @ matrix
        information = matrix.T @ self.likelihood.information(parameters) @ matrix
        scores = self.likelihood.scores(parameters) @ matrix
        seeds = len(scores)
        if seeds < 2:
            return 1.0
        try:
            np.linalg.cholesky(information)
        except np.linalg.LinAlgError:  # a flat likelihood has no variance to compare with
            return 1.0
        step = np.linalg.solve(information, towards)
        moved = (scores - scores.mean(axis=0)) @ step
        ratio = float(moved @ moved) * seeds / (seeds - 1) / float(towards @ step)
        return max(math.sqrt(ratio) * quantile(seeds - 1) / independent, 1.0) if ratio > 1 else 1.0
