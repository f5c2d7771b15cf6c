"""A likelihood fit to one group of runs, and intervals and tests of what it estimates."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import expit, ndtr

from orchestrator.laws.clustered import widening
from orchestrator.laws.estimates import LARGEST_LOG, Estimate
from orchestrator.laws.likelihood import (
    LATENCY,
    PARAMETERS,
    SIGMA_FLOOR,
    Held,
    Maximum,
    Outcomes,
    Restriction,
    information,
    line_through_intervals,
    log_likelihood,
    maximise,
)
from orchestrator.laws.logistic import information_penalty
from orchestrator.laws.profile import chi2_p_value, chi2_threshold, interval, p_value, quantile, threshold

COEFFICIENTS = ("b", "q", "c")
"""Of log T*, as in `orchestrator.laws.likelihood.PARAMETERS`."""

IMPOSSIBLE = -1e12
"""A log-likelihood that stands for none; finite, so that searches can go on past it."""


@dataclass(frozen=True)
class Fit:
    """Parameters at the maximum of the likelihood, some of them held.

    Attributes:
        outcomes: With log η and log k centred.
        centre: What was taken off log η and log k.
        held: What is not free.
        maximum: Where it is.
    """

    outcomes: Outcomes
    centre: tuple[float, float]
    held: Held
    maximum: Maximum

    @property
    def n_collapsed(self) -> int:
        """Runs whose T* was seen."""
        return int(self.outcomes.runs[self.outcomes.collapsed].sum())

    @property
    def n_censored(self) -> int:
        """Runs that were only outlived."""
        return int(self.outcomes.runs.sum()) - self.n_collapsed

    @property
    def coefficients(self) -> int:
        """Coefficients of log T* that are free."""
        return sum(name not in self.held.values for name in COEFFICIENTS)

    @cached_property
    def log_likelihood(self) -> float:
        """At the maximum, without the penalty."""
        total = self.maximum.log_likelihood
        if self.outcomes.immune:
            odds = self.maximum.parameters[LATENCY:]
            total -= information_penalty(self.outcomes.odds_design, self.outcomes.runs, odds)[0]
        return total

    @property
    def _restriction(self) -> Restriction:
        return Restriction.hold(immune=self.outcomes.immune, held=self.held)

    @property
    def aic(self) -> float:
        """Akaike's criterion."""
        return float(2 * self._restriction.matrix.shape[1] - 2 * self.log_likelihood)

    def value(self, name: str) -> float:
        """``b``, ``q``, ``log_sigma`` or ``a``."""
        b, q, _, log_sigma, *odds = (float(number) for number in self.maximum.parameters)
        if name == "a":
            return odds[2] / odds[1]
        return {"b": b, "q": q, "log_sigma": log_sigma}[name]

    def under(self, *, a: float | None = None, **values: float) -> Fit | None:
        """The fit with more parameters held."""
        held = replace(self.held, values={**self.held.values, **values}, a=self.held.a if a is None else a)
        found = self._near(self.maximum, held)
        return None if found is None else replace(self, held=held, maximum=found)

    @cached_property
    def ballistic(self) -> Fit | None:
        """The fit under the paper's b = 1 and q = 0."""
        return self.under(b=1.0, q=0.0)

    @cached_property
    def inverse(self) -> Fit | None:
        """The fit under the paper's a = 1."""
        return self.under(a=1.0)

    def p_of(self, restricted: Fit | None) -> float | None:
        """Of the test of a fit from `under`; None without one."""
        if restricted is None:
            return None
        loss = 2 * (self.maximum.log_likelihood - restricted.maximum.log_likelihood)
        values = len(restricted.held.values) - len(self.held.values)
        if restricted.held.a is None:
            return p_value(loss, self.n_collapsed, self.coefficients, values)
        return chi2_p_value(loss, 1 + values)

    def estimate(self, name: str) -> Estimate:
        """``b``, ``q`` or ``a`` with its interval by profile likelihood."""
        if name == "a":
            return self._profiled(self.value("a"), lambda value: replace(self.held, a=value), chi2_threshold())
        values = self.held.values
        return self._profiled(
            self.value(name), lambda value: replace(self.held, values={**values, name: value}), self._allowed
        )

    def boundary_at(self, k: float) -> Estimate:
        """The η at which half of the runs are susceptible, at one k."""
        at_eta, at_k = self.centre
        log_k = math.log(k) - at_k
        z0, z1, z2 = self.maximum.parameters[LATENCY:]
        at = float(-(z0 + z2 * log_k) / z1)
        log_eta = self._profiled(at, lambda value: replace(self.held, boundary=(value, log_k)), chi2_threshold())
        factor = self._widening({"z0": -1 / z1, "z1": -at / z1, "z2": -log_k / z1}, quantile())
        return log_eta.widened(factor).shifted(at_eta).exponential()

    def eta_for(self, k: float, step: float) -> Estimate:
        """The η at which the median T* of susceptible runs is ``step``, at one k."""
        at_eta, at_k = self.centre
        log_k, log_step = math.log(k) - at_k, math.log(step)
        b, q, c = self.maximum.parameters[:3]
        at = float((c - q * log_k - log_step) / b)
        log_eta = self._profiled(at, lambda value: replace(self.held, median=(value, log_k, log_step)), self._allowed)
        factor = self._widening({"b": -at / b, "q": -log_k / b, "c": 1 / b}, self._student)
        return log_eta.widened(factor).shifted(at_eta).exponential()

    def median_at(self, k: float, eta: float) -> Estimate:
        """The median T* of susceptible runs, in learner steps."""
        at_eta, at_k = self.centre
        log_eta, log_k = math.log(eta) - at_eta, math.log(k) - at_k
        b, q, c = self.maximum.parameters[:3]
        log_step = self._profiled(
            float(c - b * log_eta - q * log_k),
            lambda value: replace(self.held, median=(log_eta, log_k, value)),
            self._allowed,
        )
        factor = self._widening({"b": -log_eta, "q": -log_k, "c": 1.0}, self._student)
        return log_step.widened(factor).exponential()

    @property
    def _allowed(self) -> float:
        return threshold(self.n_collapsed, self.coefficients)

    @property
    def _student(self) -> float:
        return quantile(self.n_collapsed - self.coefficients)

    def _widening(self, gradient: Mapping[str, float], independent: float) -> float:
        """For a level with these derivatives by the parameters."""
        matrix, parameters = self._restriction.matrix, self.maximum.parameters
        each = (replace(self.outcomes, by_seed=runs[None]) for runs in self.outcomes.by_seed)
        scores = np.array([log_likelihood(parameters, outcomes)[1] for outcomes in each]) @ matrix
        along = np.array([gradient.get(name, 0.0) for name in PARAMETERS[: len(parameters)]]) @ matrix
        return widening(along, matrix.T @ information(parameters, self.outcomes) @ matrix, scores, independent)

    def _near(self, near: Maximum, held: Held) -> Maximum | None:
        return maximise(self.outcomes, Restriction.hold(immune=self.outcomes.immune, held=held), [near.parameters])

    def _profiled(self, estimate: float, held: Callable[[float], Held], allowed: float) -> Estimate:
        def fit_at(value: float, near: Maximum) -> Maximum | None:
            return self._near(near, held(value))

        return Estimate(estimate, interval(self.maximum, fit_at, estimate, allowed))

    def sigma(self) -> Estimate:
        """σ from the profile likelihood less half the log-determinant of the coefficients' information.

        The adjustment (Cox & Reid 1987, J. R. Stat. Soc. B 49, 1–39) turns the divisor n of a variance into n − p.
        """
        near = self.maximum
        coefficients = [place for place, name in enumerate(COEFFICIENTS) if name not in self.held.values]

        def adjusted(log_sigma: float) -> float:
            nonlocal near
            found = self._near(near, replace(self.held, values={**self.held.values, "log_sigma": log_sigma}))
            if found is None:
                return IMPOSSIBLE
            near = found
            of_coefficients = information(found.parameters, self.outcomes)[np.ix_(coefficients, coefficients)]
            sign, log_determinant = np.linalg.slogdet(of_coefficients)
            return found.log_likelihood - float(log_determinant) / 2 if sign > 0 else IMPOSSIBLE

        if line_through_intervals(self.outcomes) is not None:
            return Estimate()
        centre, lowest = self.value("log_sigma"), math.log(SIGMA_FLOOR)
        around = (max(centre - 0.5, lowest), centre + 1.5)
        best = minimize_scalar(lambda x: -adjusted(x), bounds=around, method="bounded", options={"xatol": 1e-2})
        if -best.fun <= IMPOSSIBLE:
            return Estimate()
        peak = _Peak(-float(best.fun))
        ends = interval(peak, lambda x, _: _Peak(adjusted(x)), float(best.x), self._allowed)
        return Estimate(float(best.x), ends).exponential()

    @property
    def c_local(self) -> Estimate:
        """C_local, k·η on the boundary, under a held a = 1."""
        return self.boundary_at(1.0)

    @property
    def c_horizon(self) -> Estimate:
        """C_horizon, η·T* under held b = 1 and q = 0."""
        return self.median_at(1.0, 1.0)

    @property
    def c_local_point(self) -> float:
        """The same as `c_local` without an interval."""
        at_eta, at_k = self.centre
        z0, z1, z2 = (float(number) for number in self.maximum.parameters[LATENCY:])
        return math.exp(at_eta + (z2 * at_k - z0) / z1)

    @property
    def c_horizon_point(self) -> float:
        """The same as `c_horizon` without an interval; C of the horizon law in general."""
        at_eta, at_k = self.centre
        b, q, c = (float(number) for number in self.maximum.parameters[:3])
        return math.exp(min(c + b * at_eta + q * at_k, LARGEST_LOG))

    def p_collapse(self, k: float, eta: float, horizon: float) -> float:
        """Expected share of runs that collapse within so many learner steps."""
        at_eta, at_k = self.centre
        log_eta, log_k = math.log(eta) - at_eta, math.log(k) - at_k
        b, q, c, log_sigma, *odds = (float(number) for number in self.maximum.parameters)
        within = float(ndtr((math.log(horizon) - (c - b * log_eta - q * log_k)) / math.exp(log_sigma)))
        if not self.outcomes.immune:
            return within
        return float(expit(odds[0] + odds[1] * log_eta + odds[2] * log_k)) * within

    @property
    def grows(self) -> bool:
        """Whether susceptibility grows with η, so that there is a boundary."""
        return bool(self.maximum.parameters[LATENCY + 1] > 0)

    def without(self, k: int, eta: float) -> Fit | None:
        """The same fit to the runs of all other cells."""
        at_eta, at_k = self.centre
        inside = np.isclose(self.outcomes.log_k + at_k, math.log(k)) & np.isclose(
            self.outcomes.log_eta + at_eta, math.log(eta)
        )
        others = replace(self.outcomes, by_seed=np.where(inside, 0.0, self.outcomes.by_seed))
        if not others.runs[others.collapsed].any():
            return None
        found = replace(self, outcomes=others)._near(self.maximum, self.held)
        return None if found is None else replace(self, outcomes=others, maximum=found)


@dataclass(frozen=True, slots=True)
class _Peak:
    log_likelihood: float


def outcomes_of(rows: pd.DataFrame, *, immune: bool) -> tuple[Outcomes, tuple[float, float]]:
    """What evidence says of T*, alike runs together, with log η and log k centred on the collapsed runs.

    Args:
        rows: With ``k``, ``eta``, ``seed``, ``lo``, ``hi``, ``collapsed``.
        immune: Whether some runs may be immune.
    """
    alike = rows.groupby(["k", "eta", "lo", "hi", "seed"], sort=True).size().unstack(fill_value=0)
    by_seed = alike.to_numpy(dtype=float).T
    k, eta, lo, hi = (alike.index.get_level_values(name).to_numpy(dtype=float) for name in ("k", "eta", "lo", "hi"))
    with np.errstate(divide="ignore"):  # a run that was last seen alive at step 0 has no lower end
        lower, upper = np.log(lo), np.log(hi)
    log_eta, log_k = np.log(eta), np.log(k)
    seen = np.isfinite(hi)
    centre = (float(np.average(x[seen], weights=by_seed.sum(axis=0)[seen])) for x in (log_eta, log_k))
    at_eta, at_k = centre
    return Outcomes(log_eta - at_eta, log_k - at_k, lower, upper, by_seed, immune), (at_eta, at_k)


def fit(rows: pd.DataFrame, *, immune: bool, values: Mapping[str, float]) -> Fit | None:
    """Fit one group; None where the optimiser finds no maximum.

    Args:
        rows: As for `outcomes_of`, with enough collapsed runs to identify what is free.
        immune: Whether some runs may be immune.
        values: Parameters that are held, those that the rows do not identify.
    """
    outcomes, centre = outcomes_of(rows, immune=immune)
    held = Held(values)
    found = maximise(outcomes, Restriction.hold(immune=immune, held=held))
    return None if found is None else Fit(outcomes, centre, held, found)
