"""The fit of T* to one group of runs, with or without immune runs, and what it says about levels of T* and η."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import expit, ndtr

from orchestrator.laws.estimates import LARGEST_LOG, Estimate
from orchestrator.laws.likelihood import Outcomes
from orchestrator.laws.maximum import LATENCY, SIGMA_FLOOR, Held, Maximum, Restriction, maximise
from orchestrator.laws.profile import ProfiledFit, interval, p_value, quantile, threshold

COEFFICIENTS = LATENCY[:3]
"""Coefficients of log T*."""

IMPOSSIBLE = -1e12
"""Stands for the log-likelihood of a failed fit; finite, so that a search can go past it."""


@dataclass(frozen=True)
class TimeFit(ProfiledFit[Outcomes]):
    """The likelihood of T* at its maximum."""

    @property
    def n_collapsed(self) -> int:
        """Runs whose T* was seen."""
        return int(self.likelihood.runs[self.likelihood.collapsed].sum())

    @property
    def n_censored(self) -> int:
        """Runs that did not collapse."""
        return int(self.likelihood.runs.sum()) - self.n_collapsed

    @property
    def coefficients(self) -> int:
        """How many coefficients of log T* are free."""
        return sum(name not in self.held.values for name in COEFFICIENTS)

    @property
    def aic(self) -> float:
        """Akaike's criterion, of the log-likelihood without its penalty."""
        return 2 * (self.restriction.n_free - self.likelihood.log_likelihood(self.maximum.parameters)[0])

    @cached_property
    def ballistic(self) -> Self | None:
        """The fit under the paper's b = 1 and q = 0."""
        return self.under(b=1.0, q=0.0)

    def value(self, name: str) -> float:
        """The parameter of `LATENCY` with this name."""
        return float(self.maximum.parameters[LATENCY.index(name)])

    def p_of(self, restricted: Self | None) -> float | None:
        """p-value of the test of a fit from `under`; if that holds only coefficients, for small samples."""
        if restricted is None or restricted.held.a is not None:
            return super().p_of(restricted)
        values = len(restricted.held.values) - len(self.held.values)
        return p_value(self._loss(restricted), self.n_collapsed, self.coefficients, values)

    def estimate(self, name: str) -> Estimate:
        """``b`` or ``q`` with its interval."""
        values = self.held.values
        return self._profiled(
            self.value(name), lambda value: replace(self.held, values={**values, name: value}), self._allowed
        )

    def eta_for(self, k: float, step: float) -> Estimate:
        """The η at which the median T* of susceptible runs is ``step``, at one k."""
        log_k, log_step = math.log(k) - self.centre[1], math.log(step)
        b, q, c = self.maximum.parameters[:3]
        at = float((c - q * log_k - log_step) / b)
        gradient = {"b": -at / b, "q": -log_k / b, "c": 1 / b}
        return self._level(at, lambda value: (value, log_k, log_step), gradient).exponential(self.centre[0])

    def median_at(self, k: float, eta: float) -> Estimate:
        """The median T* of susceptible runs, in learner steps; at k = η = 1 it is C."""
        log_eta, log_k = self._centred(k, eta)
        gradient = {"b": -log_eta, "q": -log_k, "c": 1.0}
        return self._level(self._log_median(k, eta), lambda value: (log_eta, log_k, value), gradient).exponential()

    def _centred(self, k: float, eta: float) -> tuple[float, float]:
        return math.log(eta) - self.centre[0], math.log(k) - self.centre[1]

    def _log_median(self, k: float, eta: float) -> float:
        (log_eta, log_k), (b, q, c) = self._centred(k, eta), self.maximum.parameters[:3]
        return float(c - b * log_eta - q * log_k)

    def _level(
        self, at: float, median: Callable[[float], tuple[float, float, float]], gradient: Mapping[str, float]
    ) -> Estimate:
        """A level of T* or η with its interval, given the point of the law that each value stands for."""
        found = self._profiled(at, lambda value: replace(self.held, median=median(value)), self._allowed)
        return found.widened(self._widening(gradient, quantile(self.n_collapsed - self.coefficients)))

    @property
    def _allowed(self) -> float:
        return threshold(self.n_collapsed, self.coefficients)

    def sigma(self) -> Estimate:
        """σ from the profile likelihood minus half the log-determinant of the coefficients' information.

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
            of_coefficients = self.likelihood.information(found.parameters)[np.ix_(coefficients, coefficients)]
            sign, log_determinant = np.linalg.slogdet(of_coefficients)
            return found.log_likelihood - float(log_determinant) / 2 if sign > 0 else IMPOSSIBLE

        def at(log_sigma: float, _: Maximum) -> Maximum:
            return Maximum(near.parameters, adjusted(log_sigma))

        if self.likelihood.line_through_intervals() is not None:
            return Estimate()
        centre, lowest = self.value("log_sigma"), math.log(SIGMA_FLOOR)
        around = (max(centre - 0.5, lowest), centre + 1.5)
        best = minimize_scalar(lambda x: -adjusted(x), bounds=around, method="bounded", options={"xatol": 1e-2})
        if -best.fun <= IMPOSSIBLE:
            return Estimate()
        peak = Maximum(near.parameters, -float(best.fun))
        return Estimate(float(best.x), interval(peak, at, float(best.x), self._allowed)).exponential()

    @property
    def c_horizon_point(self) -> float:
        """C_horizon, the η·T*, of a fit that holds b = 1 and q = 0; with other exponents, C of the horizon law."""
        return math.exp(min(self._log_median(1.0, 1.0), LARGEST_LOG))

    def p_collapse(self, k: float, eta: float, horizon: float) -> float:
        """Expected share of runs that collapse within ``horizon`` learner steps."""
        within = ndtr((math.log(horizon) - self._log_median(k, eta)) / math.exp(self.value("log_sigma")))
        susceptible = expit(self.odds @ (1.0, *self._centred(k, eta))) if self.likelihood.immune else 1.0
        return float(susceptible * within)

    def without(self, k: int, eta: float) -> Self | None:
        """The same fit to the runs of all other cells."""
        log_eta, log_k = self._centred(k, eta)
        inside = np.isclose(self.likelihood.log_k, log_k) & np.isclose(self.likelihood.log_eta, log_eta)
        others = replace(self.likelihood, by_seed=np.where(inside, 0.0, self.likelihood.by_seed))
        if not others.runs[others.collapsed].any():
            return None
        found = replace(self, likelihood=others)._near(self.maximum, self.held)
        return None if found is None else replace(self, likelihood=others, maximum=found)


def fit(rows: pd.DataFrame, *, immune: bool, values: Mapping[str, float]) -> TimeFit | None:
    """Fit the evidence of one group, with log η and log k centred on the collapsed runs.

    ``values`` are parameters to hold, because the collapsed runs do not identify them. None if the search finds no
    maximum.
    """
    alike = rows.groupby(["k", "eta", "lo", "hi", "seed"], sort=True).size().unstack(fill_value=0)
    by_seed = alike.to_numpy(dtype=float).T
    k, eta, lo, hi = (alike.index.get_level_values(name).to_numpy(dtype=float) for name in ("k", "eta", "lo", "hi"))
    with np.errstate(divide="ignore"):  # a run that was last seen alive at step 0 has no lower end
        lower, upper = np.log(lo), np.log(hi)
    log_eta, log_k = np.log(eta), np.log(k)
    seen = np.isfinite(hi)
    at_eta, at_k = (float(np.average(x[seen], weights=by_seed.sum(axis=0)[seen])) for x in (log_eta, log_k))
    outcomes, held = Outcomes(log_eta - at_eta, log_k - at_k, lower, upper, by_seed, immune), Held(values)
    found = maximise(outcomes, Restriction.hold(outcomes.names, held), outcomes.starts())
    return None if found is None else TimeFit(outcomes, (at_eta, at_k), held, found)
