"""A likelihood fit to one group of runs, and intervals and tests of what it estimates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar

from orchestrator.laws.forms import Estimate
from orchestrator.laws.identified import Array
from orchestrator.laws.likelihood import (
    LATENCY,
    SIGMA_FLOOR,
    Maximum,
    Outcomes,
    Restriction,
    maximise,
    negative_log_likelihood,
)
from orchestrator.laws.logistic import firth_penalty
from orchestrator.laws.profile import chi2_p_value, chi2_threshold, interval, p_value, threshold

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
        held: As in `Restriction.hold`.
        maximum: Where it is.
    """

    outcomes: Outcomes
    centre: tuple[float, float]
    held: Mapping[str, float]
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
        return sum(name not in self.held for name in COEFFICIENTS)

    @cached_property
    def log_likelihood(self) -> float:
        """At the maximum, without the penalty."""
        total = self.maximum.log_likelihood
        if self.outcomes.immune:
            odds = self.maximum.parameters[LATENCY:]
            total -= firth_penalty(self.outcomes.odds_design, self.outcomes.runs, odds)[0]
        return total

    @property
    def aic(self) -> float:
        """Akaike's criterion."""
        free = Restriction.hold(immune=self.outcomes.immune, **self.held).matrix.shape[1]
        return float(2 * free - 2 * self.log_likelihood)

    def value(self, name: str) -> float:
        """A parameter; ``a`` and ``log_c_local`` besides those of the likelihood."""
        b, q, c, log_sigma, *odds = (float(number) for number in self.maximum.parameters)
        if name == "a":
            return odds[2] / odds[1]
        if name == "log_c_local":
            return -odds[0] / odds[1]
        return {"b": b, "q": q, "c": c, "log_sigma": log_sigma}[name]

    def under(self, **held: float) -> Fit | None:
        """The fit with more parameters held."""
        everything = {**self.held, **held}
        restriction = Restriction.hold(immune=self.outcomes.immune, **everything)
        found = maximise(self.outcomes, restriction, [self.maximum.parameters])
        return None if found is None else replace(self, held=everything, maximum=found)

    def p_under(self, **held: float) -> float | None:
        """Of the test that parameters have these values."""
        restricted = self.under(**held)
        if restricted is None:
            return None
        loss = 2 * (self.maximum.log_likelihood - restricted.maximum.log_likelihood)
        if set(held) <= set(COEFFICIENTS):
            return p_value(loss, self.n_collapsed, self.coefficients, len(held))
        return chi2_p_value(loss, len(held))

    def estimate(self, name: str) -> Estimate:
        """A parameter with its interval by profile likelihood; sides that the data leave open are infinite."""

        def fit_at(value: float, near: Maximum) -> Maximum | None:
            restriction = Restriction.hold(immune=self.outcomes.immune, **self.held, **{name: value})
            return maximise(self.outcomes, restriction, [near.parameters])

        estimate = self.value(name)
        if name in COEFFICIENTS:
            allowed = threshold(self.n_collapsed, self.coefficients)
        else:
            allowed = chi2_threshold()
        return Estimate(estimate, interval(self.maximum, fit_at, estimate, allowed))

    def sigma(self) -> Estimate:
        """σ from the profile likelihood less half the log-determinant of the coefficients' information.

        The adjustment (Cox & Reid 1987, J. R. Stat. Soc. B 49, 1–39) turns the divisor n of a variance into n − p.
        """
        near = self.maximum.parameters

        def adjusted(log_sigma: float) -> float:
            nonlocal near
            restriction = Restriction.hold(immune=self.outcomes.immune, **self.held, log_sigma=log_sigma)
            found = maximise(self.outcomes, restriction, [near])
            if found is None:
                return IMPOSSIBLE
            near = found.parameters
            sign, log_determinant = np.linalg.slogdet(self._information(found.parameters))
            return found.log_likelihood - float(log_determinant) / 2 if sign > 0 else IMPOSSIBLE

        centre = self.value("log_sigma")
        lowest = math.log(SIGMA_FLOOR)
        if centre < lowest + 0.01:
            return Estimate()
        around = (max(centre - 0.5, lowest), centre + 1.5)
        best = minimize_scalar(lambda x: -adjusted(x), bounds=around, method="bounded", options={"xatol": 1e-2})
        if -best.fun <= IMPOSSIBLE:
            return Estimate()
        peak = _Peak(-float(best.fun))
        ends = interval(
            peak, lambda x, _: _Peak(adjusted(x)), float(best.x), threshold(self.n_collapsed, self.coefficients)
        )
        return Estimate(float(best.x), ends).exponential()

    def _information(self, parameters: Array) -> Array:
        """Observed information of the coefficients of log T* that are free, by differences of the gradient."""
        step = 1e-4
        directions = [place for place, name in enumerate(COEFFICIENTS) if name not in self.held]
        columns = []
        for place in directions:
            shift = np.zeros_like(parameters)
            shift[place] = step
            ahead = negative_log_likelihood(parameters + shift, self.outcomes)[1]
            behind = negative_log_likelihood(parameters - shift, self.outcomes)[1]
            columns.append((ahead - behind)[directions] / (2 * step))
        return np.array(columns)

    def constant(self, name: str) -> Estimate:
        """``c`` under held b and q, or ``log_c_local`` under a held a, as the positive constant that it is."""
        return self.estimate(name).shifted(self._shift(name)).exponential()

    def point(self, name: str) -> float:
        """The same without an interval."""
        return math.exp(self.value(name) + self._shift(name))

    def _shift(self, name: str) -> float:
        """From a logarithm on centred axes to one on their own."""
        at_eta, at_k = self.centre
        if name == "c":
            return self.value("b") * at_eta + self.value("q") * at_k
        return at_eta + self.value("a") * at_k

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
        others = replace(self.outcomes, runs=np.where(inside, 0.0, self.outcomes.runs))
        if not others.runs[others.collapsed].any():
            return None
        restriction = Restriction.hold(immune=others.immune, **self.held)
        found = maximise(others, restriction, [self.maximum.parameters])
        return None if found is None else replace(self, outcomes=others, maximum=found)


@dataclass(frozen=True, slots=True)
class _Peak:
    log_likelihood: float


def outcomes_of(rows: pd.DataFrame, *, immune: bool) -> tuple[Outcomes, tuple[float, float]]:
    """What evidence says of T*, alike runs together, with log η and log k centred on the collapsed runs.

    Args:
        rows: With ``k``, ``eta``, ``lo``, ``hi``, ``collapsed``.
        immune: Whether some runs may be immune.
    """
    alike = rows.groupby(["k", "eta", "lo", "hi"], sort=True).size().reset_index(name="runs")
    k, eta, lo, hi, runs = (alike[name].to_numpy(dtype=float) for name in ("k", "eta", "lo", "hi", "runs"))
    with np.errstate(divide="ignore"):  # a run that was last seen alive at step 0 has no lower end
        lower, upper = np.log(lo), np.log(hi)
    log_eta, log_k = np.log(eta), np.log(k)
    seen = np.isfinite(hi)
    centre = (float(np.average(x[seen], weights=runs[seen])) for x in (log_eta, log_k))
    at_eta, at_k = centre
    return Outcomes(log_eta - at_eta, log_k - at_k, lower, upper, runs, immune), (at_eta, at_k)


def fit(rows: pd.DataFrame, *, immune: bool, held: Mapping[str, float]) -> Fit | None:
    """Fit one group; None where the optimiser finds no maximum.

    Args:
        rows: As for `outcomes_of`, with enough collapsed runs to identify what is free.
        immune: Whether some runs may be immune.
        held: As in `Restriction.hold`.
    """
    outcomes, centre = outcomes_of(rows, immune=immune)
    found = maximise(outcomes, Restriction.hold(immune=immune, **held))
    return None if found is None else Fit(outcomes, centre, held, found)
