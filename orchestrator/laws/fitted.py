"""A fit: the maximum of a likelihood with some parameters held, and intervals and tests of its boundary.

Both regressions on log η and log k share this: the logistic one of collapse, and the one of T* with immune runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Generic, Self, TypeVar

import numpy as np

from orchestrator.laws.estimates import LARGEST_LOG, Estimate
from orchestrator.laws.identified import Array
from orchestrator.laws.maximum import Held, LikelihoodBySeed, Maximum, Restriction, maximise
from orchestrator.laws.profile import chi2_p_value, chi2_threshold, interval, quantile

L = TypeVar("L", bound=LikelihoodBySeed)


@dataclass(frozen=True)
class ProfiledFit(Generic[L]):
    """A likelihood at its maximum.

    Attributes:
        likelihood: What was maximised, with log η and log k centred.
        centre: What was subtracted from log η and log k.
        held: What is not free.
        maximum: Where the maximum is.
    """

    likelihood: L
    centre: tuple[float, float]
    held: Held
    maximum: Maximum

    @property
    def restriction(self) -> Restriction:
        """What is free."""
        return Restriction.hold(self.likelihood.names, self.held)

    @property
    def odds(self) -> Array:
        """z₀, z₁ and z₂."""
        return self.maximum.parameters[-3:]

    @property
    def steepness(self) -> float:
        """z₁: by how much the log-odds of collapse rise with log η."""
        return float(self.odds[1])

    @property
    def grows(self) -> bool:
        """Whether collapse gets more likely with η, so that there is a boundary."""
        return self.steepness > 0

    @property
    def width(self) -> float:
        """Factor in η from log-odds of 10 % to log-odds of 90 %."""
        return math.exp(min(2 * math.log(9) / self.steepness, LARGEST_LOG))

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
        """p-value of the test of a fit from `under`; None without one."""
        if restricted is None:
            return None
        return chi2_p_value(self._loss(restricted), self.restriction.n_free - restricted.restriction.n_free)

    def exponent(self) -> Estimate:
        """The boundary's exponent a, with its interval."""
        a = float(self.odds[2] / self.odds[1])
        return self._profiled(a, lambda value: replace(self.held, a=value), chi2_threshold())

    def boundary_at(self, k: float) -> Estimate:
        """The η at which the log-odds of collapse are 0, at one k."""
        at_eta, at_k = self.centre
        log_k = math.log(k) - at_k
        z0, z1, z2 = self.odds
        at = float(-(z0 + z2 * log_k) / z1)
        log_eta = self._profiled(at, lambda value: replace(self.held, boundary=(value, log_k)), chi2_threshold())
        factor = self._widening({"z0": -1 / z1, "z1": -at / z1, "z2": -log_k / z1}, quantile())
        return log_eta.widened(factor).shifted(at_eta).exponential()

    @property
    def c_local(self) -> Estimate:
        """C_local, the k·η on the boundary, of a fit that holds a = 1."""
        return self.boundary_at(1.0)

    @property
    def c_local_point(self) -> float:
        """`c_local` without an interval."""
        at_eta, at_k = self.centre
        z0, z1, z2 = (float(number) for number in self.odds)
        return math.exp(at_eta + (z2 * at_k - z0) / z1)

    def _loss(self, restricted: ProfiledFit[L]) -> float:
        return 2 * (self.maximum.log_likelihood - restricted.maximum.log_likelihood)

    def _near(self, near: Maximum, held: Held) -> Maximum | None:
        return maximise(self.likelihood, Restriction.hold(self.likelihood.names, held), [near.parameters])

    def _profiled(self, estimate: float, held: Callable[[float], Held], allowed: float) -> Estimate:
        def fit_at(value: float, near: Maximum) -> Maximum | None:
            return self._near(near, held(value))

        return Estimate(estimate, interval(self.maximum, fit_at, estimate, allowed))

    def _widening(self, gradient: Mapping[str, float], independent: float) -> float:
        """Factor, at least 1, by which runs of one seed that resemble each other widen the interval of a level.

        Scores summed by seed give the level's variance between seeds (Liang & Zeger 1986, Biometrika 73, 13–22), with
        one degree of freedom less than there are seeds. If that variance is not larger than the likelihood's own, the
        factor is 1.

        Args:
            gradient: Derivatives of the level by the named parameters.
            independent: Half-width, in standard errors, of the interval for independent runs.
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
